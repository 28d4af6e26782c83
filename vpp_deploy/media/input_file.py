"""What is read, together with how."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.media.location import shown
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS
from vpp_deploy.media.selection import Selection
from vpp_deploy.media.source import Source

_GREATEST: Final = sys.maxsize
NETWORK_SECONDS: Final = 10.0
"""How long an address on the network is waited for, unless asked for otherwise."""
Time = Fraction | float | None


class InputFile(os.PathLike[str]):
    """What to read, with the options of reading it: good wherever the path of a video is.

    Attributes:
        path: as it was given; a `pathlib.Path` would squeeze a URL.
        stream: index of the video stream among all streams of the file; None to choose.
        max_pixels: the most pixels that a picture may have.
        selection: which part of it.
        timeout: seconds that an address on the network is waited for, when it is opened and for each packet.
        further: images that follow the one at `path`, as those of a folder do.
        prefix: what the names of images begin with, so that those of other inputs are told apart: `holiday/`.

    Args:
        path: a video, an image or a folder of images; an address (`rtsp://`, `http://`, …); the number of a camera; or
            `-` for what is piped in.
        stream: which video stream.
        max_pixels: a limit of pixels; None for 178,956,970.
        start: leave out what comes before so many seconds.
        end: leave out what comes from so many seconds on.
        every: take the first of so many frames.
        timeout: see the attribute; None for 10.
        further: see the attribute.
        prefix: see the attribute.

    Raises:
        UsageError: the path is empty, or a number is out of its range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | int,
        *,
        stream: int | None = None,
        max_pixels: int | None = None,
        start: Time = None,
        end: Time = None,
        every: int | None = None,
        timeout: float | None = None,
        further: Sequence[str] = (),
        prefix: str = "",
    ) -> None:
        self.path = f"camera:{path}" if isinstance(path, int) else os.fspath(path)
        if not self.path:
            raise UsageError("the input has an empty name; give a video file, an image or a folder of images")
        if stream is not None and not 0 <= stream <= _GREATEST:
            raise UsageError(f"stream is {stream}; give the index of a video stream, as ffprobe shows it, from 0")
        if every is not None and not 1 <= every <= _GREATEST:
            raise UsageError(f"every is {every}; give at least 1, or None for every frame")
        if max_pixels is not None and not 1 <= max_pixels <= _GREATEST:
            raise UsageError(f"max_pixels is {max_pixels}; give at least 1, or None for {DEFAULT_MAX_PIXELS}")
        if timeout is not None and not (isfinite(timeout) and timeout > 0):
            raise UsageError(f"timeout is {timeout}; give seconds above 0")
        self.timeout = NETWORK_SECONDS if timeout is None else timeout
        self.further = tuple(further)
        self.prefix = prefix
        self.selection = Selection(_seconds("start", start) or Fraction(0), _seconds("end", end), every or 1)
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
        return shown(self.path) + (f" and {len(self.further)} more" if self.further else "")


def _seconds(what: str, time: Time) -> Fraction | None:
    if time is not None and not isfinite(time):
        raise UsageError(f"{what} is {time}; give seconds, or None")
    return None if time is None else Fraction(str(time))  # 0.1 is meant as it is written
