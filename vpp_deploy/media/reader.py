"""Read a video file, an image or a folder of images as frames of the model's size."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from vpp_deploy.arguments import checked
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.frames import Frame, Size, check_size
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.location import STANDARD_INPUT
from vpp_deploy.media.probe import open_source
from vpp_deploy.media.source import Picture, Source

Resize = Callable[[npt.NDArray[np.uint8], Size], tuple[npt.NDArray[np.uint8], Size]]
"""From a picture `[H0, W0, 3]` and a size to the picture at that size, and the size of its content in the top left."""


@checked
def read_video(
    path: str | os.PathLike[str] | int,
    size: Size,
    *,
    max_frames: int | None = None,
    stream: int | None = None,
    max_pixels: int | None = None,
) -> VideoReader:
    """Open a video for one pass over its frames.

    The first frame is decoded here, so a file that cannot be read fails here and not in the middle of a run.

    Args:
        path: a video file that FFmpeg can decode, an image (an animated one is a video), or a folder of images (natural
            order; all of one size); an address (`rtsp://`, `http://`, …); `camera:0`; or `-` for standard input. An
            `InputFile` says more about how.
        size: height and width in pixels that the frames are letterboxed into (`engine.frame_size`).
        max_frames: stop after this many frames; None reads all.
        stream: index of the video stream among all streams of the file; None takes the film, see `choose_stream`.
        max_pixels: the most pixels that a picture of the source may have; None for 178,956,970.

    Returns:
        An iterator and context manager of `Frame`. It closes itself at the end.

    Raises:
        VideoError: the path does not exist, is empty, has no images or no video in it, or nothing can be decoded.
            While iterating: the frame size changes, or an image of a folder is broken.
        DependencyError: an image needs a decoder that is not installed.
        UsageError: `max_frames` or `max_pixels` is below 1 or too great, or there is no such stream.
    """
    check_size(size)
    return VideoReader(path, size, max_frames=max_frames, stream=stream, max_pixels=max_pixels)


class VideoReader(Iterator[Frame]):
    """One pass over the frames of a video; made by `read_video` and `read_pictures`.

    Attributes:
        path: the file or folder.
        size: height and width that frames are resized to.
        original_size: height and width of the source's frames, upright; of the first, where sizes are mixed.
        frame_rate: mean frames per second, exact; None for images and streams that do not tell.
        time_base: the unit in which the container counts time, in seconds; None for images.
        frame_count: estimated number of frames that will come, for progress bars; None if unknown.

    Args:
        path: the file or folder.
        size: height and width of the frames.
        max_frames: stop after this many frames; None reads all.
        stream: index of the video stream among all streams of the file; None takes the film.
        max_pixels: the most pixels that a picture of the source may have; None for 178,956,970.
        resize: how a picture becomes a frame.
        mixed_sizes: whether the source's pictures may differ in size.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | int,
        size: Size,
        *,
        max_frames: int | None = None,
        stream: int | None = None,
        max_pixels: int | None = None,
        resize: Resize = letterbox,
        mixed_sizes: bool = False,
    ) -> None:
        if max_frames is not None and not 1 <= max_frames <= sys.maxsize:
            raise UsageError(f"max_frames is {max_frames}; give 1 to {sys.maxsize}, or None for all frames")
        given = path if isinstance(path, InputFile) else InputFile(path, stream=stream, max_pixels=max_pixels)
        self.path, self._name = Path(given), str(given)
        self.size = size
        self._resize, self._mixed_sizes = resize, mixed_sizes
        self._source = open_source(given)
        given.opened(self._source)
        pictures = self._source.pictures()
        try:
            first = next(pictures, None)
            if first is None:
                raise VideoError(f"{self._name}: {_no_frame(given, self._source)}")
        except BaseException:
            self._source.close()
            raise
        self._pictures = itertools.islice(itertools.chain([first], pictures), max_frames)
        self._index = 0
        self._closed = False
        self.original_size: Size = (first.image.shape[0], first.image.shape[1])
        self.frame_rate = self._source.frame_rate
        self.time_base = self._source.time_base
        count = self._source.frame_count
        self.frame_count = count if count is None or max_frames is None else min(count, max_frames)

    @property
    def problem(self) -> str | None:
        """Damage found so far, as one line, or None. Complete once the iteration has ended."""
        return self._source.problem

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know about what was read well: which stream was chosen, which files were left out."""
        return self._source.notes

    def __next__(self) -> Frame:
        if self._closed:
            raise StopIteration
        try:
            picture = next(self._pictures)
            self._check_size(picture)
        except BaseException:
            self.close()
            raise
        image, content = self._resize(picture.image, self.size)
        frame = Frame(image, content, picture.image, self._index, picture.time, picture.name)
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the file; the iteration ends here."""
        self._closed = True
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_size(self, picture: Picture) -> None:
        height, width = picture.image.shape[:2]
        if (height, width) != self.original_size and not self._mixed_sizes:
            before = f"{self.original_size[0]}x{self.original_size[1]}"
            where = f"frame {self._index}" + (f" ({picture.name})" if picture.name else "")
            raise VideoError(
                f"{self._name}: {where} is {height}x{width} (height x width), the frames before it are {before}; "
                "split the video there, or convert it to one size"
            )


def _no_frame(given: InputFile, source: Source) -> str:
    if given.selection.timed and not source.problem:
        return "no frame in the part that was asked for; choose another start and end"
    advice = "is the file complete?"
    if given.path == STANDARD_INPUT:
        advice = "an MP4 that is piped in has its index in front (ffmpeg -movflags faststart)"
    return f"no frame could be decoded{f' ({source.problem})' if source.problem else ''}; {advice}"
