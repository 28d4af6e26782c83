"""Times of frames that only ever grow, whatever a container says."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Final

_JITTER: Final = 2
"""Frames by which a time may lie behind without its clock having been set back."""
_LONGEST_PAUSE: Final = 10
"""Seconds between frames beyond which the clock of a broadcast has been set forward, as FFmpeg has it; at least ten
frames."""
_USUAL_RATE: Final = 25
_GREATEST_RATE: Final = 1000
"""Frames per second beyond which a rate is that of the clock and not of the frames."""


class Timeline:
    """Makes the times of frames, which come in the order of presentation, strictly increasing.

    A clock that was set back (files that were joined), and in streams of broadcasts also one that was set forward, goes
    on one frame after the frame before. A time that lies only a little behind becomes one tick later than that before.

    Attributes:
        jumps: how often the clock was bridged.

    Args:
        rate: frames per second, or None.
        time_base: the unit of times in seconds, or None.
        broadcast: whether the format allows the clock to be set.
    """

    def __init__(self, rate: Fraction | None, time_base: Fraction | None, *, broadcast: bool) -> None:
        self.jumps = 0
        self._period = 1 / rate if rate and rate <= _GREATEST_RATE else Fraction(1, _USUAL_RATE)
        self._longest_pause = max(Fraction(_LONGEST_PAUSE), 10 * self._period)
        self._tick = time_base or Fraction(1, 90_000)
        self._broadcast = broadcast
        self._shift = Fraction(0)
        self._last: Fraction | None = None

    def next(self, time: Fraction | None) -> Fraction | None:
        """The time of the next frame in seconds.

        Args:
            time: as the container has it; None where it has none, which is one frame after that before, or None for the
                first.
        """
        if self._last is None or time is None:
            time = time if self._last is None else self._last + self._period
            self._last = time
            return time
        shifted = time + self._shift
        behind = self._last - shifted
        if behind > _JITTER * self._period or (self._broadcast and -behind > self._longest_pause):
            self.jumps += 1
            self._shift += behind + self._period
            shifted = time + self._shift
        self._last = max(shifted, self._last + self._tick)
        return self._last


class DecodingOrder:
    """Times of frames whose container has the times at which they are decoded for those at which they are shown.

    AVI knows no others, and what was copied from there into another container keeps them: they grow from packet to
    packet although the codec reorders frames. Frames come in the order in which they are shown, so each takes the next.

    Args:
        untimed: the container stores no presentation times.
        reorders: the codec does.
    """

    def __init__(self, *, untimed: bool, reorders: bool) -> None:
        self._untimed, self._active = untimed, untimed or reorders
        self._times: deque[int] = deque()
        self._newest: int | None = None

    def add(self, shown: int | None, decoded: int | None) -> None:
        """Take note of the times of the next packet, in ticks."""
        ticks = decoded if self._untimed else shown
        if not self._active or ticks is None:
            return
        if not self._untimed and self._newest is not None and ticks < self._newest:
            self._active = False  # a frame that is shown before one that was decoded before it: such times are right
            return
        self._newest = ticks
        self._times.append(ticks)

    def next(self, told: int | None) -> int | None:
        """The time of the next frame in ticks.

        Args:
            told: as the decoder has it.
        """
        if not self._active:
            return told
        return self._times.popleft() if self._times else None
