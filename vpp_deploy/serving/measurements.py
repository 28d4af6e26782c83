"""What a pool counts beside its streams: how long frames took, what went wrong, how many tokens were kept."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, Final

LATENCY_BOUNDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency histogram's buckets, in seconds; above the last comes one more."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From the moment a frame was given to the pool until its result, over all frames that have one.

    Attributes:
        counts: frames in each bucket of `LATENCY_BOUNDS`, and above the last one.
        seconds: the sum.
    """

    counts: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS) + 1)
    seconds: float = 0.0


class Measurements:
    """Adds up frames. Not thread-safe: the pool's lock guards it."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS) + 1)
        self._seconds = 0.0
        self._errors: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def add(self, seconds: float, result: Any) -> None:
        """Count a frame with a result.

        Args:
            seconds: since it was given to the pool.
            result: of the frame, by any session; its `kept` tokens by pruning point are counted, where it has any.
        """
        self._counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self._seconds += seconds
        kept = getattr(result, "kept", None)
        for point, positions in kept.items() if isinstance(kept, Mapping) else ():
            self._kept[str(point)] += len(positions) if isinstance(positions, Sized) else 0

    def add_error(self, error: BaseException) -> None:
        """Count a frame with an error, by the error's class."""
        self._errors[type(error).__name__] += 1

    @property
    def done(self) -> int:
        """Frames with a result."""
        return sum(self._counts)

    @property
    def failed(self) -> int:
        """Frames with an error."""
        return self._errors.total()

    @property
    def latency(self) -> Latency:
        """Of all frames with a result."""
        return Latency(tuple(self._counts), self._seconds)

    @property
    def errors(self) -> Mapping[str, int]:
        """Frames with an error, by the name of its class."""
        return dict(self._errors)

    @property
    def kept(self) -> Mapping[str, int]:
        """Tokens that were kept in all frames, by pruning point."""
        return dict(self._kept)
