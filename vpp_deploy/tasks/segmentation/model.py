"""A video instance segmentation model as a Python program uses it: pictures of any size in, results out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.protocols import Engine, check_engine
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.image_input import Picture, check_pictures, to_pixels
from vpp_deploy.media.inputs import one_input
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.reader import read_video
from vpp_deploy.media.scene_cuts import open_cuts
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import SessionState, VideoSession


class SegmentationModel:
    """A loaded model. Videos are independent of each other: each has a session of its own over the same weights.

    Thread-safe; a session is for one thread at a time.

    ```python
    model = vd.load("small.bundle")
    for result in model.track("street.mp4"):
        print(result.index, [(one.identity, one.name, one.score) for one in result])
    model("photo.jpg").save("objects.png")
    ```

    Attributes:
        engine: what runs it.
        manifest: of its bundle.

    Args:
        engine: any engine of a bundle for instance segmentation.

    Raises:
        UsageError: a bundle for another task.
    """

    @checked
    def __init__(self, engine: Engine) -> None:
        check_engine("a segmentation model", engine)
        self.engine = engine
        self.manifest = SegmentationManifest.of(engine.manifest, "a segmentation model")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Name the method that there is to whoever looks for that of the other kind of models."""
            hint = "; this model tracks: use track(source), or model(picture)" if name == "run" else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each label."""
        return self.manifest.class_names

    @property
    def frame_size(self) -> Size:
        """Height and width that pictures are letterboxed into."""
        return self.engine.frame_size

    def __call__(self, picture: Picture, *, bgr: bool = False) -> FrameResult:
        """Find the objects in one picture, as in the first frame of a video.

        Args:
            picture: see `vpp_deploy.media.image_input.Picture`.
            bgr: channels are blue, green, red, as OpenCV has them.

        Raises:
            UsageError, VideoError: it cannot be read as a picture.
            EngineOutputError: the engine gives NaN or infinity.
        """
        return self.session()(picture, bgr=bgr)

    def track(
        self,
        source: str | os.PathLike[str] | int | Iterable[Picture],
        *,
        bgr: bool = False,
        max_frames: int | None = None,
        scene_cuts: str | None = None,
    ) -> Iterator[FrameResult]:
        """Follow the objects of one video, frame by frame, as the results are asked for.

        Args:
            source: a video, an image, a folder of images, an address (`rtsp://`, `http://`), the number of a camera,
                or an `InputFile` of one of these; or pictures one after the other.
            bgr: see `__call__`.
            max_frames: stop after this many; None takes all.
            scene_cuts: where state and tracks start anew, as `infer --scene-cuts` takes it: `auto`, `off` or a file;
                None is `auto` for films. Of pictures one after the other nothing is known: see `session` and its `cut`.

        Raises:
            UsageError, VideoError: the source cannot be read, or is one picture; the first frame at once, others when
                they come.
            EngineOutputError: the engine gives NaN or infinity.
        """
        session = self.session()
        if isinstance(source, str | os.PathLike | int):
            reader = read_video(one_input(source), self.frame_size, max_frames=max_frames)
            is_cut = open_cuts(scene_cuts, reader)
            return (session.run(frame, cut=is_cut(frame)) for frame in reader)
        check_pictures(source)
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames is {max_frames}; ask for at least 1")
        numbered = zip(range(max_frames), source, strict=False) if max_frames else enumerate(source)
        return (session(picture, bgr=bgr) for _, picture in numbered)

    def session(self, noise_seed: int | None = None) -> SegmentationStream:
        """A new video, whose frames come one by one.

        Args:
            noise_seed: see `VideoSession`.
        """
        return SegmentationStream(self.engine, noise_seed)


class SegmentationStream:
    """One video, its frames in order and of any size (but all of one), for one thread at a time.

    Attributes:
        session: the session underneath, which takes frames at the model's size.

    Args:
        engine: any engine.
        noise_seed: see `VideoSession`.
    """

    def __init__(self, engine: Engine, noise_seed: int | None = None) -> None:
        self.session = VideoSession(engine, noise_seed)

    @one_thread
    def __call__(self, picture: Picture, *, bgr: bool = False, time: Fraction | float | None = None) -> FrameResult:
        """Process the next frame. Whatever is raised, the stream is as it was before the frame.

        Args:
            picture: see `vpp_deploy.media.image_input.Picture`.
            bgr: channels are blue, green, red.
            time: of the frame in seconds, for the result; None if there is none.

        Raises:
            UsageError, VideoError: it cannot be read as a picture.
            EngineOutputError: the engine gives NaN or infinity.
            StreamError: another thread is using the stream.
        """
        pixels = to_pixels(picture, bgr=bgr)
        image, content = letterbox(pixels, self.session.engine.frame_size)
        seconds = None if time is None else Fraction(time)
        return self._run(Frame(image, content, pixels, self.session.next_index, seconds))

    @one_thread
    def run(self, frame: Frame, *, cut: bool = False) -> FrameResult:
        """Process a frame of `read_video`; its result can be drawn.

        Args:
            frame: comes after the last one.
            cut: a new scene begins with it, see `cut`.
        """
        if cut:
            self.session.cut()
        return self._run(frame)

    def _run(self, frame: Frame) -> FrameResult:
        result = self.session(frame)
        named = replace(result.instances, names=self.session.manifest.class_names)
        return replace(result, instances=named, frame=frame)

    @one_thread
    def reset(self) -> None:
        """Begin a new video: no state, no tracks, frame and track numbers from 0."""
        self.session.reset()

    @one_thread
    def cut(self) -> None:
        """Begin a new scene of the same video with the next frame, see `VideoSession.cut`."""
        self.session.cut()

    @one_thread
    def snapshot(self) -> SessionState:
        """Everything that the stream remembers; `to_bytes()` makes a file of it."""
        return self.session.snapshot()

    @one_thread
    def restore(self, state: SessionState | bytes | bytearray | memoryview) -> None:
        """Continue from a snapshot of this bundle, by any engine, in any process.

        Args:
            state: what `snapshot()` gave, or its bytes.

        Raises:
            UsageError: it is of another bundle, or damaged. The stream is as it was.
        """
        if isinstance(state, bytes | bytearray | memoryview):
            state = SessionState.from_bytes(state)
        self.session.restore(state)
