"""What is read, together with how."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS
from vpp_deploy.media.source import Source

_GREATEST: Final = sys.maxsize


class InputFile(os.PathLike[str]):
    """A path of a video, an image or a folder of images, with the options of reading it: good wherever such a path is.

    Attributes:
        path: as it was given; a `pathlib.Path` would squeeze a URL.
        stream: index of the video stream among all streams of the file; None to choose.
        max_pixels: the most pixels that a picture may have.

    Args:
        path: what to read.
        stream: which video stream.
        max_pixels: a limit of pixels; None for 178,956,970.

    Raises:
        UsageError: the path is empty, or a number is out of its range.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, stream: int | None = None, max_pixels: int | None = None
    ) -> None:
        self.path = os.fspath(path)
        if not self.path:
            raise UsageError("the input has an empty name; give a video file, an image or a folder of images")
        if stream is not None and not 0 <= stream <= _GREATEST:
            raise UsageError(f"stream is {stream}; give the index of a video stream, as ffprobe shows it, from 0")
        if max_pixels is not None and not 1 <= max_pixels <= _GREATEST:
            raise UsageError(f"max_pixels is {max_pixels}; give at least 1, or None for {DEFAULT_MAX_PIXELS}")
        self.stream = stream
        self.max_pixels = max_pixels or DEFAULT_MAX_PIXELS
        self._source: Source | None = None

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say about the input by what was read of it, one line each; nothing before."""
        return self._source.notes if self._source else ()

    def opened(self, source: Source) -> None:
        """Take note of what it is read with."""
        self._source = source

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path
