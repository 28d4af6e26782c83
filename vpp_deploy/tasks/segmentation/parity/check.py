"""The parity check: the same frames through the reference and through an engine, in two ways at once.

Free-running, each side keeps its own state and tracks. Teacher-forced, the engine gets the reference's state and track
queries on every frame, which separates an error made on a frame from one that was carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Array, Engine, StreamState
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision import tolerances_of
from vpp_deploy.frames import Frame
from vpp_deploy.media.location import shown
from vpp_deploy.media.reader import VideoReader, read_video
from vpp_deploy.parity.arguments import check_arguments, expected_count
from vpp_deploy.parity.latency import Stopwatch
from vpp_deploy.parity.report_common import telling
from vpp_deploy.parity.tolerances import Tolerances
from vpp_deploy.tasks.common import Progress
from vpp_deploy.tasks.engines import TORCH, open_engine
from vpp_deploy.tasks.segmentation.parity.decisions import Explainer, Reruns
from vpp_deploy.tasks.segmentation.parity.frame import FrameParity, Step, compare_frame
from vpp_deploy.tasks.segmentation.parity.report import ParityReport
from vpp_deploy.tasks.segmentation.parity.tracks import compare_tracks
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession


@runtime_checkable
class ScoresSelections(Protocol):
    """A reference that can say how it scored the tokens, which tells a tie from an error."""

    def selection_scores(self, inputs: Mapping[str, Array], state: StreamState) -> Mapping[str, Array]:
        """Scores `[N]` of each selection point that is active on a frame, by name.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.
        """
        ...


def check_parity(
    bundle: Bundle,
    engine: Engine,
    video: str | PathLike[str] | Iterable[Frame],
    *,
    frames: int | None = 30,
    reference: Engine | None = None,
    progress: Progress = lambda done, expected: None,
    interrupted: Callable[[ParityReport, BaseException], None] = lambda report, error: None,
) -> ParityReport:
    """Measure how far an engine is from the PyTorch reference on a video.

    Args:
        bundle: the bundle that the engine was made from.
        engine: the engine under test.
        video: a video file, a folder of images, or frames at the engine's frame size in order.
        frames: how many frames to compare at most; None takes all. A shorter video is compared as far as it goes.
        reference: what to compare with; None builds `TorchEngine(bundle)`. One without `selection_scores` knows no
            ties.
        progress: see `Progress`; called after each frame.
        interrupted: see `vpp_deploy.check_parity`.

    Returns:
        The report. Nothing is stored in the bundle; see `store`.

    Raises:
        UsageError: the engine is of another bundle; `frames` is below 1; there is no frame; a frame of another size.
        VideoError: the video cannot be read.
        DependencyError: PyTorch is not installed and no reference is given.
        CheckpointError, ConfigError: the bundle's weights or configuration do not make a reference.
    """
    check_arguments(bundle, engine, frames)
    tolerances = tolerances_of(engine.precision).segmentation
    compared: list[FrameParity] = []
    with _open(video, engine, frames) as source:

        def report() -> ParityReport:
            return ParityReport(
                backend=engine.backend,
                precision=engine.precision,
                video=Path(shown(str(video))).name if isinstance(video, str | PathLike) else None,
                frames=tuple(compared),
                requested_frames=frames,
                video_problem=source.problem if isinstance(source, VideoReader) else None,
                tolerances=tolerances,
                latency=comparison.stopwatch.latency(),
            )

        comparison = _Comparison(reference or open_engine(bundle, TORCH), engine, tolerances)
        with telling(interrupted, report, compared):
            for frame in islice(source, frames):
                compared.append(comparison.compare(frame))
                progress(len(compared), expected_count(source, frames))
    if not compared:
        raise UsageError("parity: there is no frame to compare; give a video with at least one")
    return report()


def _open(
    video: str | PathLike[str] | Iterable[Frame], engine: Engine, frames: int | None
) -> AbstractContextManager[Iterable[Frame]]:
    if isinstance(video, str | PathLike):
        return read_video(video, engine.frame_size, max_frames=frames)
    return nullcontext(video)


@dataclass(frozen=True)
class _Turn:
    """One frame through one session, with what went in and out."""

    step: Step
    result: FrameResult


class _Comparison:
    """The streams of a parity check, in step with each other.

    Attributes:
        stopwatch: how long PyTorch and the free-running engine took.

    Args:
        reference: gives the truth, and the inputs and the state for the teacher-forced stream.
        engine: runs two streams: one in a session of its own, one teacher-forced.
        tolerances: of the engine's precision.
    """

    def __init__(self, reference: Engine, engine: Engine, tolerances: Tolerances) -> None:
        self._reference = reference
        self._manifest, self._tolerances = SegmentationManifest.of(engine.manifest, "this parity check"), tolerances
        self._reference_session, self._free_session = VideoSession(reference), VideoSession(engine)
        self._forced_stream = engine.open_stream()
        self.stopwatch = Stopwatch()

    def compare(self, frame: Frame) -> FrameParity:
        """Run and compare the next frame."""
        before = self._reference_session.stream.snapshot()
        with np.errstate(invalid="ignore", over="ignore"):  # an engine may put out NaN: that is reported, not warned of
            truth = _take_turn(self._reference_session, frame, self.stopwatch.reference)
            free = _take_turn(self._free_session, frame, self.stopwatch.engine)
            forced = self._run_forced(truth.step.inputs, before)
            compare = partial(compare_frame, self._manifest, truth.step, tolerances=self._tolerances)
            return FrameParity(
                index=frame.index,
                phase=before.phase,
                teacher_forced=compare(
                    forced,
                    scores=lambda: self._scores(truth.step.inputs, before),
                    explainer=self._explainer(truth.step.inputs, before),
                ),
                free_running=compare(free.step),
                tracks=compare_tracks(truth.result.instances, free.result.instances),
                candidates_dropped=(truth.result.candidates_dropped, free.result.candidates_dropped),
                tracks_not_fed=(truth.result.tracks_not_fed, free.result.tracks_not_fed),
            )

    def _run_forced(self, inputs: Mapping[str, Array], before: StreamState) -> Step:
        self._forced_stream.restore(before)
        outputs = self._forced_stream.run(inputs)
        return Step(inputs, outputs, self._forced_stream.snapshot().tensors)

    def _scores(self, inputs: Mapping[str, Array], before: StreamState) -> Mapping[str, Array]:
        if isinstance(self._reference, ScoresSelections):
            return self._reference.selection_scores(inputs, before)
        return {}

    def _explainer(self, inputs: Mapping[str, Array], before: StreamState) -> Explainer | None:
        if not isinstance(self._reference, Reruns):
            return None
        return Explainer(self._reference, inputs, before, self._tolerances.match_margin, self._tolerances.mask_margin)


def _take_turn(
    session: VideoSession, frame: Frame, timed: Callable[[Callable[[], Mapping[str, Array]]], Mapping[str, Array]]
) -> _Turn:
    """What `session(frame)` does, with the graph's inputs and outputs at hand."""
    frame = session.as_frame(frame)
    inputs = session.prepare(frame)
    outputs = timed(lambda: session.stream.run(inputs))
    result = session.complete(frame, outputs)
    return _Turn(Step(inputs, outputs, session.stream.snapshot().tensors), result)
