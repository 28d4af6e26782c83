"""How long both sides of a parity check take. They take turns frame by frame, so that a busy machine slows both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final, TypeVar

T = TypeVar("T")
_FEWEST: Final = 3
"""Calls that a median is taken of."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one call: a frame, or a batch of a classifier.

    Attributes:
        reference: median seconds of PyTorch, inputs and outputs in host memory.
        engine: of the engine, free-running.
        speed_up: median over the calls of PyTorch's time over the engine's.
        calls: how many were timed, without the first one, which is slower.
    """

    reference: float
    engine: float
    speed_up: float
    calls: int


class Stopwatch:
    """Times the calls of both sides, which come in pairs."""

    def __init__(self) -> None:
        self._reference: list[float] = []
        self._engine: list[float] = []

    def reference(self, call: Callable[[], T]) -> T:
        """What PyTorch's call gives."""
        return _timed(call, self._reference)

    def engine(self, call: Callable[[], T]) -> T:
        """What the engine's call gives."""
        return _timed(call, self._engine)

    def latency(self) -> Latency | None:
        """Of the pairs until now but the first one; None of so few that a median would tell nothing."""
        pairs = list(zip(self._reference, self._engine, strict=False))[1:]
        if len(pairs) < _FEWEST:
            return None
        ours, theirs = zip(*pairs, strict=True)
        ratio = median(reference / engine for reference, engine in pairs)
        return Latency(median(ours), median(theirs), ratio, len(pairs))


def _timed(call: Callable[[], T], seconds: list[float]) -> T:
    start = perf_counter()
    result = call()
    seconds.append(max(perf_counter() - start, 1e-9))
    return result
