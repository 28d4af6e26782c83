"""Which part of a video is read: from a time, to a time, and every how many frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeVar

from vpp_deploy.errors import UsageError, VideoError

T = TypeVar("T")

_TIME: Final = re.compile(r"(?:(?:([0-9]{1,3}):)?([0-9]{1,2}):)?([0-9]{1,9}(?:\.[0-9]{1,9})?)")


def parse_time(text: str) -> Fraction:
    """Seconds from `90`, `1:30` or `0:01:30.5`.

    Raises:
        UsageError: it is none of these.
    """
    found = _TIME.fullmatch(text)
    if not found or (found[2] and (Fraction(found[3]) >= 60 or (found[1] and int(found[2]) >= 60))):
        raise UsageError(
            f"{text!r} is no time; give seconds, such as 90 or 1.5, or hours, minutes and seconds: 0:01:30"
        )
    return 3600 * int(found[1] or 0) + 60 * int(found[2] or 0) + Fraction(found[3])


@dataclass(frozen=True, slots=True)
class Selection:
    """Part of a video.

    Attributes:
        start: seconds from the first frame; frames before are left out.
        end: seconds from the first frame; this frame and those after are left out. None for all.
        every: takes the first of so many frames, from 1.

    Raises:
        UsageError: a number out of its range, or the end is not after the start.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.every < 1:
            raise UsageError(f"start is {float(self.start):g} and every is {self.every}; give at least 0 and 1")
        if self.end is not None and self.end <= self.start:
            raise UsageError(
                f"the end, {float(self.end):g} s, is not after the start, {float(self.start):g} s; nothing is between"
            )

    @property
    def timed(self) -> bool:
        """Whether times are needed to choose."""
        return bool(self.start) or self.end is not None

    def choose(
        self, items: Iterable[tuple[Fraction | None, T]], what: str, origin: Fraction | None = None
    ) -> Iterator[tuple[Fraction | None, T]]:
        """The chosen items of a video.

        Args:
            items: with their times in seconds, in order.
            what: is read, for messages.
            origin: the time of the first item of all, where `items` begins later; None takes that of the first.

        Raises:
            VideoError: times are needed, and there are none.
        """
        number = 0
        for time, item in items:
            if self.timed:
                if time is None:
                    raise VideoError(f"{what}: its frames have no times to choose by; leave start and end out")
                origin = time if origin is None else origin
                if self.end is not None and time - origin >= self.end:
                    return
                if time - origin < self.start:
                    continue
            if number % self.every == 0:
                yield time, item
            number += 1

    def rate(self, rate: Fraction | None) -> Fraction | None:
        """Frames per second of what is chosen, from those of all."""
        return None if rate is None else rate / self.every

    def count(self, frames: int | None, rate: Fraction | None) -> int | None:
        """How many frames will be chosen, from how many there are and their rate; None if unknown."""
        last = frames
        if self.end is not None and rate:
            last = round(self.end * rate) if frames is None else min(frames, round(self.end * rate))
        if last is None or (self.timed and not rate):
            return None
        return -(-max(0, last - round(self.start * (rate or 0))) // self.every)


ALL: Final = Selection()
