"""Where an overlay goes: into a video, a folder of pictures, or one picture, as its name says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.files.outputs import OutputFile, OutputWriter
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.picture_writer import KINDS, encode_picture
from vpp_deploy.media.png_folder_writer import PictureFolderWriter
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.media.window import Window
from vpp_deploy.media.writer import FORMATS, VideoWriter


class OverlayOutput(OutputWriter):
    """What is drawn of a source, frame by frame.

    Args:
        path: a video (`.mp4`, `.mov` or `.mkv`); a picture (`.png`, `.jpg`, …), for a source of one frame; or a folder
            of PNG pictures if it has no extension, or is a folder already; None for the window alone.
        reader: where the frames come from.
        size: height and width of what is drawn of the first frame; of a video, of all.
        window: shows the frames, too.
        also: what else can be written under such a path, elsewhere; for the message.

    Raises:
        OutputError: another extension, or the target cannot be written. Raised here, before the first frame.
        DependencyError: this PyAV has no H.264 encoder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        reader: VideoReader,
        size: Size,
        window: Window | None = None,
        also: str = "",
    ) -> None:
        self._path = Path(path or "")
        suffix = self._path.suffix.lower()
        self._first, self._window = reader.original_size, window
        self._target: VideoWriter | PictureFolderWriter | _OnePicture | None
        if path is None:
            self._target = None
        elif suffix in FORMATS:
            self._target = VideoWriter(self._path, size, reader.frame_rate, reader.time_base)
        elif not suffix or self._path.is_dir():
            self._target = PictureFolderWriter(self._path)
        elif suffix in KINDS:
            self._target = _OnePicture(self._path)
        else:
            raise OutputError(
                f"{path}: cannot write {suffix}; use {', '.join(FORMATS)} for a video, {', '.join(KINDS)} for one "
                f"picture, {also and f'{also}, '}or a name without extension for a folder of pictures"
            )

    def write(self, frame: Frame, image: npt.NDArray[np.uint8]) -> None:
        """Append what was drawn of a frame.

        Args:
            frame: of the source.
            image: `[H, W, 3]` uint8 RGB.

        Raises:
            VideoError: a video gets frames of several sizes, or one picture gets a second frame.
            OutputError: writing failed.
        """
        if self._window is not None:
            self._window.put(image)
        if isinstance(self._target, PictureFolderWriter):
            self._target.write(image, frame.name or f"frame_{frame.index:06}")
        elif isinstance(self._target, _OnePicture):
            self._target.write(image)
        elif self._target is not None and frame.original_size != self._first:
            (height, width), (first_height, first_width) = frame.original_size, self._first
            raise VideoError(
                f"{self._path}: {frame.name or f'frame {frame.index}'} is {height}x{width} (height x width), those "
                f"before it are {first_height}x{first_width}, and a video has one size; give a name without extension "
                "for a folder of pictures"
            )
        elif self._target is not None:
            self._target.write(image, frame.time)

    def finish(self) -> None:
        """Write what is still to be written.

        Raises:
            VideoError: there was no frame.
            OutputError: writing failed.
        """
        if self._target is not None:
            self._target.finish()

    def commit(self) -> None:
        """Give the output its name."""
        if self._target is not None:
            self._target.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        if self._target is not None:
            self._target.discard()


class _OnePicture(OutputWriter):
    def __init__(self, path: Path) -> None:
        self._output = OutputFile(path)
        self._image: npt.NDArray[np.uint8] | None = None

    def write(self, image: npt.NDArray[np.uint8]) -> None:
        if self._image is not None:
            raise VideoError(
                f"{self._output.path}: one picture, and the input has more frames; give a video, a folder (a name "
                "without extension), or --max-frames 1"
            )
        self._image = image

    def finish(self) -> None:
        if self._image is None:
            raise VideoError(f"{self._output.path}: no picture was written")
        self._output.write(encode_picture(self._image, self._output.path))

    def commit(self) -> None:
        self._output.commit()

    def discard(self) -> None:
        self._output.discard()
