"""What measured times say, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

CONFIDENCE: Final = 0.95
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Summary:
    """Times of many calls, in seconds.

    Attributes:
        calls: how many.
        median: half of the calls took no longer.
        p90: 90 % took no longer.
        p99: 99 % took no longer.
        minimum: the shortest: what the machine can do when nothing disturbs it.
    """

    calls: int
    median: float
    p90: float
    p99: float
    minimum: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one takes as the other, with a confidence interval (95 %).

    Attributes:
        value: ratio of the medians.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether there is a difference: 1 is outside the interval."""
        return not self.low <= 1.0 <= self.high


def summary(seconds: Sequence[float]) -> Summary:
    """The summary of at least one time."""
    median, p90, p99 = np.percentile(seconds, (50, 90, 99)).tolist()
    return Summary(len(seconds), median, p90, p99, min(seconds))


def ratio(seconds: Sequence[float], baseline: Sequence[float], seed: int = 0) -> Ratio:
    """How many times as long as the baseline something takes.

    The interval is a percentile bootstrap over rounds: both times of a round are drawn together, and in runs of
    neighbouring rounds (Künsch 1989, moving blocks), since what disturbs a machine lasts longer than a round.

    Args:
        seconds: of each round.
        baseline: of the same rounds.
        seed: of the resampling.
    """
    times = np.array((seconds, baseline))
    rounds = times.shape[1]
    length = max(1, round(rounds ** (1 / 3)))
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, rounds - length + 1, (_RESAMPLES, -(-rounds // length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(_RESAMPLES, -1)[:, :rounds]
    ours, theirs = np.median(times[:, drawn], axis=2)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(ours / theirs, (tail, 100 - tail)).tolist()
    value = float(np.median(times[0]) / np.median(times[1]))
    return Ratio(value, low, high)
