"""How large the values of a tensor get: a histogram of their absolute values, and the ranges that follow from it.

ONNX Runtime's calibrators keep every tensor of every frame in memory, or histograms that grow without a limit when a
later frame has larger values, and print to standard output; hence this one.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import UsageError

RangeMethod = Literal["mse", "percentile", "max"]
"""`mse`: least squared error of rounding and clipping together. `percentile`: clips the rest. `max`: clips nothing."""
RANGE_METHODS: Final[tuple[RangeMethod, ...]] = get_args(RangeMethod)
LEVELS: Final = 127
"""Largest value of symmetric INT8."""
_BINS: Final = 4096
_SAMPLES: Final = 2**18
"""Values of an array that are counted; of a larger one, so many are drawn."""
_CANDIDATES: Final = 128
"""Ranges that are compared for the least squared error."""


def range_method(text: str) -> RangeMethod:
    """One of `RANGE_METHODS`.

    Raises:
        UsageError: there is no such one.
    """
    for method in RANGE_METHODS:
        if method == text:
            return method
    raise UsageError(f"ranges {text!r:.40}: use {', '.join(RANGE_METHODS)}")


class AbsoluteHistogram:
    """Counts of absolute values in equal bins from 0 to a power of two, which doubles when a larger value comes.

    Attributes:
        largest: the largest absolute value so far.
    """

    def __init__(self) -> None:
        self.largest = 0.0
        self._limit = 0.0
        self._counts: npt.NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._generator = np.random.default_rng(0)

    def add(self, values: Array) -> None:
        """Count values.

        Args:
            values: finite floats of any shape.
        """
        flat = values.ravel()
        largest = max(float(flat.max(initial=0.0)), -float(flat.min(initial=0.0)))
        self.largest = max(self.largest, largest)
        if largest > self._limit:
            limit = 2.0 ** int(np.ceil(np.log2(largest)))
            while 0.0 < self._limit < limit:
                self._counts = np.concatenate([self._counts.reshape(-1, 2).sum(1), np.zeros(_BINS // 2, np.int64)])
                self._limit *= 2
            self._limit = limit
        if flat.size > _SAMPLES:  # not every n-th: that could be the same few channels
            flat = flat[self._generator.integers(0, flat.size, _SAMPLES)]
        absolute = np.abs(flat)
        if self._limit == 0.0:  # nothing but zeros until now
            self._counts[0] += absolute.size
            return
        bins = np.minimum((absolute * (_BINS / self._limit)).astype(np.int32), _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    def range(self, method: RangeMethod, percentile: float = 100.0) -> float:
        """The largest absolute value that INT8 should hold; larger ones are clipped to it.

        Args:
            method: see `RangeMethod`.
            percentile: of `percentile`: share of the values within the range, in (0, 100].

        Returns:
            A positive number; 1 for a tensor of zeros.
        """
        if self.largest == 0.0:
            return 1.0
        if method == "max":
            return self.largest
        edges = np.arange(1, _BINS + 1) * (self._limit / _BINS)
        if method == "percentile":
            within = np.cumsum(self._counts)
            place = int(np.searchsorted(within, within[-1] * (percentile / 100.0)))
            return min(self.largest, float(edges[min(place, _BINS - 1)]))
        return self._least_squares(edges - self._limit / (2 * _BINS))

    def _least_squares(self, centres: npt.NDArray[np.floating[Any]]) -> float:
        candidates = self.largest * np.arange(1, _CANDIDATES + 1) / _CANDIDATES
        clipped = np.maximum(centres - candidates[:, None], 0.0) ** 2 @ self._counts
        # Within the range, errors are spread evenly over a step; but no value is farther from 0 than from the value
        # that it is rounded to.
        rounded = np.minimum((candidates / LEVELS)[:, None] ** 2 / 12, centres**2) @ self._counts
        return float(candidates[np.argmin(clipped + rounded)])
