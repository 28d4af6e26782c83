"""A classifier as a Python program uses it: pictures of any size and number in, results out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.engines.protocols import Engine, check_engine
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.image_input import Picture, to_pixels
from vpp_deploy.media.inputs import one_input
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.resize import resize_and_crop
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.session import ClassificationSession


class ClassificationModel:
    """A loaded classifier. Thread-safe: each thread that calls it has a session of its own.

    ```python
    model = vd.load("vit.bundle")
    print(model("photo.jpg").best)
    for result in model.run("photos/"):
        print(result.name, result.best)
    ```

    Attributes:
        engine: what runs it.
        manifest: of its bundle.

    Args:
        engine: any engine of a classifier's bundle.
        top: how many labels a result has.
        hop: see `ClassificationSession`; for models of clips only.

    Raises:
        UsageError: a bundle for another task, or see `ClassificationSession`.
    """

    @checked
    def __init__(self, engine: Engine, top: int = 5, hop: int | None = None) -> None:
        check_engine("a classification model", engine)
        self.engine = engine
        self.manifest = ClassificationManifest.of(engine.manifest, "a classification model")
        self._open_session = partial(ClassificationSession, engine, top, hop)
        self._sessions = threading.local()
        self._sessions.own = self._open_session()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Name the method that there is to whoever looks for that of the other kind of models."""
            hint = "; this model classifies: use run(source), or model(pictures)" if name == "track" else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each label."""
        return self.manifest.class_names

    @property
    def frame_size(self) -> Size:
        """Height and width that pictures are resized to."""
        return self.engine.frame_size

    @overload
    def __call__(
        self, pictures: list[Picture] | tuple[Picture, ...], *, bgr: bool = False
    ) -> list[ClassificationResult]: ...

    @overload
    def __call__(self, pictures: Picture, *, bgr: bool = False) -> ClassificationResult: ...

    def __call__(
        self, pictures: Picture | list[Picture] | tuple[Picture, ...], *, bgr: bool = False
    ) -> ClassificationResult | list[ClassificationResult]:
        """Classify one picture, or any number of them, in batches of the bundle's size.

        Args:
            pictures: one, see `vpp_deploy.media.image_input.Picture`; or a list of them (an array of several is one
                list of pictures: `list(array)`). For a model of clips they are the frames of one video.
            bgr: channels of arrays are blue, green, red, as OpenCV has them.

        Returns:
            A result; of a list a list, one for each picture, or for each clip of a sliding window.

        Raises:
            UsageError, VideoError: a picture that cannot be read.
            EngineOutputError: the engine gives NaN or infinity.
        """
        if isinstance(pictures, list | tuple):
            return list(self._results(self._frame(picture, bgr, number) for number, picture in enumerate(pictures)))
        (result,) = self._results(iter([self._frame(pictures, bgr, 0)]))
        return result

    def run(
        self, source: str | os.PathLike[str] | int, *, max_frames: int | None = None
    ) -> Iterator[ClassificationResult]:
        """Classify what is in files, as the results are asked for.

        Args:
            source: an image, a folder of images, a pattern (`photos/*.jpg`) or a list (`.txt`) of images, a video, an
                address (`rtsp://`, `http://`), the number of a camera, or an `InputFile` of one of these.
            max_frames: stop after this many pictures; None takes all.

        Raises:
            UsageError, VideoError: the source cannot be read; the first picture at once, others when they come.
            EngineOutputError: the engine gives NaN or infinity.
        """
        read = one_input(source, together=self.manifest.clip is None)
        return self._results(read_pictures(read, self.manifest, max_frames))

    def _frame(self, picture: Picture, bgr: bool, number: int) -> Frame:
        pixels = to_pixels(picture, bgr=bgr)
        image, content = resize_and_crop(pixels, self.frame_size, self.manifest.preprocessing)
        name = os.path.basename(picture) if isinstance(picture, str | os.PathLike) else ""
        return Frame(image, content, pixels, number, name=str(name))

    def _results(self, frames: Iterable[Frame]) -> Iterator[ClassificationResult]:
        if not hasattr(self._sessions, "own"):
            self._sessions.own = self._open_session()
        for sample, result in self._sessions.own.run(frames):
            yield replace(result, manifest=self.manifest, sample=sample)
