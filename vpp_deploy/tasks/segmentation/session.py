"""A video session: frames in, tracked instances out, with the state of one stream in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from time import perf_counter
from types import TracebackType
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.protocols import Array, Engine, EngineStream, LeavesOutputs, Prefetches, Rewinds, check_engine
from vpp_deploy.engines.stream_state import StreamState, check_finite_state, check_state, is_count, no_snapshot
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size, check_frame
from vpp_deploy.options import check_seed
from vpp_deploy.tasks.contract import check_finite, check_range
from vpp_deploy.tasks.segmentation.contract import NOISE_INPUT, check_contract
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session_bytes import parts, to_bytes
from vpp_deploy.tasks.segmentation.tracking.detections import Floats, Integers, decode_detections
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker, TrackerState, TrackFeed

Given = ParamSpec("Given")
Result = TypeVar("Result")

_MASKS: Final = "mask_logits"
_MOST: Final = np.float32(1e30)
"""Beyond it a logit says no more, and sums of logits overflow."""


@dataclass(frozen=True)
class SessionState:
    """A snapshot of a session.

    Attributes:
        stream: the engine's state tensors.
        tracker: the tracker's memory.
        frames: how many frames of the video have been seen.
        last_index: index of the last frame, -1 before the first.
        noise: state of the noise generator.
    """

    stream: StreamState
    tracker: TrackerState
    frames: int
    last_index: int
    noise: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """The snapshot as a safetensors file, for another process or another day."""
        return to_bytes(self)

    @classmethod
    def from_bytes(cls, content: bytes | bytearray | memoryview) -> SessionState:
        """The snapshot that `to_bytes` made these of; `VideoSession.restore` sees whether it fits.

        Raises:
            UsageError: they are no snapshot, or one of another version.
        """
        return cls(**parts(bytes(content)))


class _Mark(NamedTuple):
    """Where a session is, see `Rewinds`: everything that it remembers, without copies."""

    stream: object
    tracker: TrackerState
    counts: tuple[int, int, bool]
    noise: np.random.Generator
    noise_state: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Masks:
    """Mask logits of the rows that are filled; on a device, no others than those that are asked for are copied from it.

    Attributes:
        source: gives rows of the graph's output.
        filled: `[M]` which of them are filled.
        size: height and width of a mask.
        engine: the backend's name, for messages.
        frame: number of the frame, for messages.
    """

    source: Callable[[Integers], Array]
    filled: Integers
    size: Size
    engine: str
    frame: int

    @property
    def shape(self) -> tuple[int, ...]:
        """M, h and w."""
        return len(self.filled), *self.size

    def __getitem__(self, rows: Integers, /) -> Floats:
        logits = self.source(self.filled[rows])
        check_finite({_MASKS: logits}, self.engine, self.frame)
        clipped: Floats = logits.clip(-_MOST, _MOST)
        return clipped


def _whole(
    method: Callable[Concatenate[VideoSession, Given], Result],
) -> Callable[Concatenate[VideoSession, Given], Result]:
    """A method that leaves the session as it was if anything is raised, a signal's handler included."""

    @wraps(method)
    def wrapper(self: VideoSession, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        mark = self._mark()
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            if mark is not None:
                self._rewind(mark)
            raise

    return wrapper


class VideoSession:
    """One video on one engine, frame by frame and strictly in order.

    A second video is a second session over the same engine; weights are not copied. One thread at a time may use a
    session; what another one asks of it meanwhile is a `StreamError`.

    ```python
    with VideoSession(engine) as session:
        for frame in read_video("street.mp4", size=engine.frame_size):
            result = session(frame)
    ```

    Args:
        engine: any engine.
        noise_seed: seed of the Gumbel noise of a bundle exported with `selection_noise`; None feeds zeros, which makes
            selection deterministic.

    Raises:
        UsageError: a bundle for another task; a noise seed for one without a noise input.
        BundleError: its graphs are not what the manifest says elsewhere.
    """

    @checked
    def __init__(self, engine: Engine, noise_seed: int | None = None) -> None:
        check_engine("a video session", engine)
        manifest = SegmentationManifest.of(engine.manifest, "a video session")
        check_contract(manifest)
        self.engine = engine
        self.manifest = manifest
        self.stream: EngineStream = engine.open_stream()
        self.tracker = QueryTracker(manifest.tracker, manifest.detection.num_queries, manifest.detection.query_width)
        self._noise_seed = noise_seed
        self._noise_shape = next((t.shape for t in manifest.graphs["step"].inputs if t.name == NOISE_INPUT), None)
        if noise_seed is not None:
            check_seed("noise_seed", noise_seed)
        if noise_seed is not None and self._noise_shape is None:
            raise UsageError("noise seed given, but the bundle takes no noise; export it with selection noise")
        height, width = manifest.outputs_of("step")[_MASKS].shape[-2:]
        self._mask_size: Size = (height, width)
        self._feed: TrackFeed | None = None
        self._frames, self._last_index, self._cut = 0, -1, False
        self._noise = np.random.default_rng(noise_seed)

    def __enter__(self) -> VideoSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.reset()

    @one_thread
    @_whole
    def __call__(self, frame: Frame | npt.NDArray[np.uint8]) -> FrameResult:
        """Process the next frame. Whatever is raised, the session is as it was before the frame.

        Args:
            frame: a frame from `read_video`, or `[H, W, 3]` uint8 RGB at the engine's frame size.

        Raises:
            UsageError: a frame of another size, or one that does not come after the last one.
            EngineOutputError: the engine gives NaN, infinity, or positions that there are not.
            StreamError: another thread is using the session.
        """
        start = perf_counter()
        frame = self.as_frame(frame)
        inputs = self.prepare(frame)
        prepared = perf_counter()
        if isinstance(self.stream, LeavesOutputs):
            outputs = self.stream.run(inputs, leave=(_MASKS,))
        else:
            outputs = self.stream.run(inputs)
        ran = perf_counter()
        check_finite(outputs, self.engine.backend, frame.index)
        result = self.complete(frame, outputs)
        seconds = {"engine": ran - prepared, "host": perf_counter() - ran + prepared - start}
        return replace(result, seconds=seconds)

    @one_thread
    def prefetch(self, frame: Frame) -> None:
        """Let an engine that can begin to take the pixels of the frame that comes next. It may be left out.

        Args:
            frame: is given to the session next, unchanged.
        """
        if isinstance(self.stream, Prefetches):
            self.stream.prefetch({"frame": frame.image})

    @one_thread
    @_whole
    def reset(self) -> None:
        """Start a new video: no state, no tracks, frame and track numbers from 0."""
        self.stream.reset()
        self.tracker.reset()
        self._frames, self._last_index, self._cut = 0, -1, False
        self._noise = np.random.default_rng(self._noise_seed)

    @one_thread
    @_whole
    def cut(self) -> None:
        """Begin a new scene of the same video: no state and no tracks; frame and track numbers go on.

        The next frame runs the graph for first frames, and its result has `cut`. Before the first frame this does
        nothing.
        """
        if self._frames:
            next_identity = self.tracker.snapshot().next_identity
            self.stream.reset()
            self.tracker.reset()
            self.tracker.restore(replace(self.tracker.snapshot(), next_identity=next_identity))
            self._cut = True

    @one_thread
    def snapshot(self) -> SessionState:
        """A copy of everything the session remembers; later frames do not change it."""
        noise = dict(self._noise.bit_generator.state)
        return SessionState(self.stream.snapshot(), self.tracker.snapshot(), self._frames, self._last_index, noise)

    @one_thread
    @_whole
    def restore(self, state: SessionState) -> None:
        """Continue from a snapshot of this session, or of another one on the same bundle (any engine).

        Raises:
            UsageError: it is of another bundle, or damaged. The session is as it was.
        """
        noise = np.random.default_rng(self._noise_seed)
        self._check_snapshot(state, noise)
        self.stream.restore(state.stream)
        self.tracker.restore(state.tracker)
        self._frames, self._last_index, self._noise = int(state.frames), int(state.last_index), noise
        self._cut = state.frames > 0 and state.stream.phase == self.manifest.roles[0]

    @property
    def next_index(self) -> int:
        """The number of the next frame of a source that has none of its own."""
        return self._last_index + 1

    def _mark(self) -> _Mark | None:
        if not isinstance(self.stream, Rewinds):  # a stream of somebody else's, which has moved on
            return None
        noise = None if self._noise_seed is None else self._noise.bit_generator.state
        counts = self._frames, self._last_index, self._cut
        return _Mark(self.stream.mark(), self.tracker.snapshot(), counts, self._noise, noise)

    def _rewind(self, mark: _Mark) -> None:
        assert isinstance(self.stream, Rewinds)
        self.stream.rewind(mark.stream)
        self.tracker.restore(mark.tracker)
        self._frames, self._last_index, self._cut = mark.counts
        self._noise = mark.noise
        if mark.noise_state is not None:
            self._noise.bit_generator.state = mark.noise_state

    def _check_snapshot(self, state: SessionState, noise: np.random.Generator) -> None:
        """Hold a snapshot to this bundle, and give the generator its state."""
        if not isinstance(state, SessionState):
            raise no_snapshot(state)
        check_state(self.manifest, state.stream)
        check_finite_state(state.stream)
        tokens = self.manifest.token_grid[0] * self.manifest.token_grid[1]
        for name, array in state.stream.tensors.items():
            if array.dtype == np.int32 and array.size and (array.min() < 0 or array.max() >= tokens):
                raise UsageError(f"snapshot: {name} lies outside the {tokens} tokens; take another one")
        for count in (state.frames, state.last_index):
            if not is_count(count):
                raise no_snapshot(count)
        self.tracker.check(state.tracker, state.frames)
        begun = state.stream.phase != self.manifest.roles[0]
        cut = not begun and not len(state.tracker.identities)  # or no frame yet
        if state.frames < 0 or state.last_index < state.frames - 1 or not (cut or (begun and state.frames)):
            raise UsageError(
                f"snapshot: {state.frames} frames up to number {state.last_index}, with the {state.stream.phase} graph "
                "to come, contradict each other; take another one"
            )
        try:
            noise.bit_generator.state = dict(state.noise)
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise UsageError(f"snapshot: its noise cannot be continued ({error}); take another one") from error

    def _check_positions(self, frame: Frame, outputs: Mapping[str, Array]) -> None:
        detection, (rows, columns), backend = self.manifest.detection, self.manifest.token_grid, self.engine.backend
        queries = detection.num_queries + detection.max_tracks
        check_range("query_indices", outputs["query_indices"], queries, backend, frame.index)
        for point in self.manifest.pruning_points:
            if point.output in outputs:
                check_range(point.output, outputs[point.output], rows * columns, backend, frame.index)

    def _mask_rows(self, outputs: Mapping[str, Array]) -> Callable[[Integers], Array]:
        if _MASKS in outputs:
            return outputs[_MASKS].__getitem__
        assert isinstance(self.stream, LeavesOutputs)
        return partial(self.stream.rows, _MASKS)

    def as_frame(self, frame: Frame | npt.NDArray[np.uint8]) -> Frame:
        """The frame with its geometry; checks its size, its type and its place in the stream."""
        if not isinstance(frame, Frame):
            image = np.ascontiguousarray(frame)
            frame = Frame(image, image.shape[:2], image, self.next_index)
        expected = (*self.engine.frame_size, 3)
        if frame.image.shape != expected or frame.image.dtype != np.uint8:
            raise UsageError(
                f"frame {frame.index} is {frame.image.dtype} {list(frame.image.shape)}, the engine takes uint8 "
                f"{list(expected)}; read the video with size=engine.frame_size"
            )
        if frame.index <= self._last_index:
            raise UsageError(
                f"frame {frame.index} comes after frame {self._last_index}; feed frames in order, "
                "or call reset() before another video"
            )
        return frame

    def prepare(self, frame: Frame) -> dict[str, Array]:
        """The graph inputs for a frame: pixels, geometry, track queries and noise."""
        check_frame(frame)
        detection = self.manifest.detection
        feed = self._feed = self.tracker.feed(detection.max_tracks)
        count = len(feed.identities)
        queries = np.zeros((detection.max_tracks, detection.query_width), np.float32)
        queries[:count] = feed.features
        inputs: dict[str, Array] = {
            "frame": frame.image,
            "content_size": np.array(frame.content_size, np.int32),
            "track_queries": queries,
            "track_valid": np.arange(detection.max_tracks) < count,
        }
        if self._noise_shape is not None:
            quiet = self._noise_seed is None
            noise = np.zeros(self._noise_shape) if quiet else self._noise.gumbel(size=self._noise_shape)
            inputs[NOISE_INPUT] = noise.astype(np.float32)
        return inputs

    def complete(self, frame: Frame, outputs: Mapping[str, Array]) -> FrameResult:
        """Track the detections in the graph's outputs; follows the `prepare` of the same frame.

        Args:
            frame: the frame.
            outputs: of the graph. Masks that the stream has kept are asked of it.
        """
        assert self._feed is not None
        self._check_positions(frame, outputs)
        detection = self.manifest.detection
        filled = detection.num_queries + len(self._feed.identities)
        rows = np.flatnonzero(outputs["query_indices"] < filled)  # empty track slots come along to fill the output
        queries = outputs["query_indices"][rows]
        detections = decode_detections(
            outputs["class_logits"][rows].clip(-_MOST, _MOST),
            _Masks(self._mask_rows(outputs), rows, self._mask_size, self.engine.backend, frame.index),
            queries,
            padded_size=self.engine.frame_size,
            content_size=frame.content_size,
            original_size=frame.original_size,
            max_instances=filled,
            score_floor=self.tracker.score_floor(queries),
        )
        instances = self.tracker.update(self._frames, detections, outputs["query_features"][rows])
        points = [point for point in self.manifest.pruning_points if point.output in outputs]
        cut, self._cut = self._cut, False
        self._frames, self._last_index = self._frames + 1, frame.index
        return FrameResult(
            index=frame.index,
            time=frame.time,
            original_size=frame.original_size,
            instances=instances,
            kept={point.name: outputs[point.output] for point in points},
            grid=self.manifest.token_grid,
            candidates_dropped=max(0, int(outputs["candidates"][0]) - len(outputs["query_indices"])),
            tracks_not_fed=self._feed.not_fed,
            seconds={},
            cut=cut,
        )
