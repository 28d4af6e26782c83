"""The overlay of a classification, frame by frame: each drawn as soon as what it belongs to has been classified."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.files.arrays import ARRAYS
from vpp_deploy.files.outputs import OutputWriter
from vpp_deploy.frames import Frame
from vpp_deploy.media.lettering import PAPER
from vpp_deploy.media.overlay_output import OverlayOutput
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.media.window import Window
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay import draw_classification, overlay_size
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.overlay_style import OverlayStyle


class OverlayWriter(OutputWriter):
    """Draws every frame of a source, into a video, a folder of pictures or one picture.

    A frame is drawn with the first clip that contains it; one that lies between clips has an empty strip beside it.
    Frames wait in memory until then: those of a clip, and of the clips that are classified together with it.

    Args:
        path: see `OverlayOutput`.
        reader: where the frames come from.
        manifest: of the classifier's bundle.
        style: what is drawn.
        window: shows the frames, too.

    Raises:
        OutputError: another extension, or the target cannot be written. Raised here, before the first frame.
        DependencyError: this PyAV has no H.264 encoder.
    """

    def __init__(
        self,
        path: Path | None,
        reader: VideoReader,
        manifest: ClassificationManifest,
        style: OverlayStyle = USUAL_STYLE,
        window: Window | None = None,
    ) -> None:
        self._manifest, self._style = manifest, style
        self._waiting: deque[Frame] = deque()
        also = "" if manifest.features is None else f"{ARRAYS} for the features"
        self._target = OverlayOutput(path, reader, overlay_size(reader.original_size, style), window, also)

    def add(self, frame: Frame) -> None:
        """Take note of a frame, in order, before the result that it belongs to."""
        self._waiting.append(frame)

    def write(self, result: ClassificationResult) -> None:
        """Draw the frames up to the end of an image or clip.

        Raises:
            VideoError: the frame has another size than the video.
            OutputError: writing failed.
        """
        while self._waiting and self._waiting[0].index <= result.indices[-1]:
            frame = self._waiting.popleft()
            seen = frame.index >= result.indices[0]
            if seen:
                self._target.write(frame, draw_classification(frame, result, self._manifest, self._style))
            else:
                self._put_plain(frame)

    def finish(self) -> None:
        """Write what is left, with an empty strip, and finish.

        Raises:
            VideoError: as `write`; or there was no frame.
            OutputError: as `write`.
        """
        for frame in self._waiting:
            self._put_plain(frame)
        self._target.finish()

    def commit(self) -> None:
        """Give the video or the folder its name."""
        self._target.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        self._target.discard()

    def _put_plain(self, frame: Frame) -> None:
        height, width = frame.original_size
        image = np.full((*overlay_size(frame.original_size, self._style), 3), PAPER, np.uint8)
        image[:height, :width] = frame.original
        self._target.write(frame, image)
