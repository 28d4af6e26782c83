"""The overlay of a classification, frame by frame: each drawn as soon as what it belongs to has been classified."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.files.outputs import OutputWriter
from vpp_deploy.frames import Frame
from vpp_deploy.media.png_folder_writer import PictureFolderWriter
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.media.writer import FORMATS, VideoWriter
from vpp_deploy.tasks.classification.overlay import draw_classification
from vpp_deploy.tasks.classification.results import ClassificationResult


class OverlayWriter(OutputWriter):
    """Draws every frame of a source, into a video or a folder of pictures.

    A frame is drawn with the first clip that contains it; one that lies between clips is written as it is. Frames wait
    in memory until then: those of a clip, and of the clips that are classified together with it.

    Args:
        path: a video (`.mp4`, `.mov` or `.mkv`), or a folder if it has no extension or is one already.
        reader: where the frames come from.
        manifest: of the classifier's bundle.

    Raises:
        OutputError: another extension, or the target cannot be written. Raised here, before the first frame.
        DependencyError: this PyAV has no H.264 encoder.
    """

    def __init__(self, path: Path, reader: VideoReader, manifest: ClassificationManifest) -> None:
        self._path, self._manifest = path, manifest
        self._waiting: deque[Frame] = deque()
        self._target: VideoWriter | PictureFolderWriter
        if path.suffix.lower() in FORMATS:
            self._target = VideoWriter(path, reader.original_size, reader.frame_rate, reader.time_base)
        elif not path.suffix or path.is_dir():
            self._target = PictureFolderWriter(path)
        else:
            raise OutputError(
                f"{path}: cannot write {path.suffix.lower()}; use {', '.join(FORMATS)} for a video, or a name without "
                "extension for a folder of pictures"
            )

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
            self._put(frame, draw_classification(frame, result, self._manifest) if seen else frame.original)

    def finish(self) -> None:
        """Write what is left as it is, and finish.

        Raises:
            VideoError: as `write`; or there was no frame.
            OutputError: as `write`.
        """
        for frame in self._waiting:
            self._put(frame, frame.original)
        self._target.finish()

    def commit(self) -> None:
        """Give the video or the folder its name."""
        self._target.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        self._target.discard()

    def _put(self, frame: Frame, image: npt.NDArray[np.uint8]) -> None:
        if isinstance(self._target, PictureFolderWriter):
            self._target.write(image, frame.name or f"frame_{frame.index:06}")
            return
        if frame.original_size != self._target.size:
            (height, width), (first_height, first_width) = frame.original_size, self._target.size
            raise VideoError(
                f"{self._path}: {frame.name or f'frame {frame.index}'} is {height}x{width} (height x width), those "
                f"before it are {first_height}x{first_width}, and a video has one size; give a name without extension "
                "for a folder of pictures"
            )
        self._target.write(image, frame.time)
