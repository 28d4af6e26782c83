"""Read a video file, an image or a folder of images as frames of the model's size."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.image_folder_reader import IMAGE_SUFFIXES, Images, images_of
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.source import Picture, Source
from vpp_deploy.media.video_file import VideoFile

Resize = Callable[[npt.NDArray[np.uint8], Size], tuple[npt.NDArray[np.uint8], Size]]
"""From a picture `[H0, W0, 3]` and a size to the picture at that size, and the size of its content in the top left."""


def read_video(path: str | os.PathLike[str], size: Size, *, max_frames: int | None = None) -> VideoReader:
    """Open a video for one pass over its frames.

    The first frame is decoded here, so a file that cannot be read fails here and not in the middle of a run.

    Args:
        path: a video file that FFmpeg can decode, an image, or a folder of images (bmp, jpeg, jpg, png, webp; natural
            order; all of one size).
        size: height and width in pixels that the frames are letterboxed into (`engine.frame_size`).
        max_frames: stop after this many frames; None reads all.

    Returns:
        An iterator and context manager of `Frame`. It closes itself at the end.

    Raises:
        VideoError: the path does not exist, is empty, has no images or no video in it, or nothing can be decoded.
            While iterating: the frame size changes, or an image of a folder is broken.
        UsageError: `max_frames` is below 1.
    """
    return VideoReader(path, size, max_frames=max_frames)


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
        resize: how a picture becomes a frame.
        mixed_sizes: whether the source's pictures may differ in size.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: Size,
        *,
        max_frames: int | None = None,
        resize: Resize = letterbox,
        mixed_sizes: bool = False,
    ) -> None:
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames is {max_frames}; give at least 1, or None for all frames")
        self.path = Path(path)
        self.size = size
        self._resize, self._mixed_sizes = resize, mixed_sizes
        self._source = _open_source(self.path)
        pictures = self._source.pictures()
        try:
            first = next(pictures, None)
            if first is None:
                raise VideoError(
                    f"{self.path}: no frame could be decoded{_reason(self._source)}; is the file complete?"
                )
        except VideoError:
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

    def __next__(self) -> Frame:
        if self._closed:
            raise StopIteration
        try:
            picture = next(self._pictures)
            self._check_size(picture)
        except (StopIteration, VideoError):
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
                f"{self.path}: {where} is {height}x{width} (height x width), the frames before it are {before}; "
                "split the video there, or convert it to one size"
            )


def _open_source(path: Path) -> Source:
    if path.is_dir():
        return images_of(path)
    if not path.exists():
        raise VideoError(f"{path}: no such file or folder; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty; give a video file or a folder of images")
    return Images([path]) if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile(path)


def _reason(source: Source) -> str:
    return f" ({source.problem})" if source.problem else ""
