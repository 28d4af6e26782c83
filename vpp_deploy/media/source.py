"""What a `VideoReader` reads from: a video file or an image folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture.

    Attributes:
        image: `[H0, W0, 3]` uint8 RGB, upright, contiguous.
        time: presentation time in seconds, or None.
        name: file name of an image (with folders, see `names_of`), else "".
    """

    image: npt.NDArray[np.uint8]
    time: Fraction | None = None
    name: str = ""


class Source(Protocol):
    """A sequence of pictures that is read once, front to back.

    Attributes:
        frame_rate: mean pictures per second, or None.
        time_base: the unit in which times are counted, in seconds, or None.
        frame_count: how many pictures to expect, or None.
    """

    frame_rate: Fraction | None
    time_base: Fraction | None
    frame_count: int | None

    @property
    def problem(self) -> str | None:
        """What went wrong so far without ending the sequence in an error, or None."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know so far about pictures that were read well, one line each."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """The pictures, in presentation order. Raises `VideoError`."""
        ...

    def close(self) -> None:
        """Release the file. Harmless when called twice."""
        ...
