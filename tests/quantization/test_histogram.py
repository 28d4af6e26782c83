"""Ranges of activations: exact where they can be, and no matter in which order values come."""

from __future__ import annotations

import numpy as np
import pytest

from vpp_deploy.errors import UsageError
from vpp_deploy.quantization.histogram import LEVELS, AbsoluteHistogram, range_method


def histogram(*arrays: np.ndarray) -> AbsoluteHistogram:
    found = AbsoluteHistogram()
    for array in arrays:
        found.add(np.asarray(array, np.float32))
    return found


def squared_error(values: np.ndarray, limit: float) -> float:
    step = limit / LEVELS
    return float(((np.clip(np.round(values / step), -LEVELS, LEVELS) * step - values) ** 2).mean())


def test_nothing_but_zeros_has_a_range_that_can_be_divided_by() -> None:
    assert histogram(np.zeros(5)).range("max") == 1.0
    assert histogram(np.zeros(0)).range("mse") == 1.0


def test_the_maximum_is_exact_and_a_later_larger_value_counts() -> None:
    assert histogram(np.zeros(3), [0.3, -0.2], [-70.5, 1.0], [2.0]).range("max") == 70.5


def test_a_percentile_leaves_out_the_share_that_it_says() -> None:
    values = np.linspace(-1.0, 1.0, 10_001)
    whole = histogram(values)
    assert whole.range("percentile", 90.0) == pytest.approx(0.9, abs=1e-3)
    assert whole.range("percentile", 100.0) == 1.0


def test_the_order_of_arrays_does_not_matter() -> None:
    values = np.random.default_rng(0).standard_normal(4000)
    small_first = histogram(values * 0.01, values)
    large_first = histogram(values, values * 0.01)
    assert small_first.range("percentile", 75.0) == pytest.approx(large_first.range("percentile", 75.0), abs=1e-2)
    assert small_first.range("mse") == pytest.approx(large_first.range("mse"), rel=0.05)


def test_least_squares_clips_outliers_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    spread = generator.uniform(-3.0, 3.0, 20_000)
    assert histogram(spread).range("mse") == pytest.approx(3.0, rel=0.02)
    tailed = np.append(generator.standard_normal(20_000), 50.0)
    chosen = histogram(tailed).range("mse")
    errors = {limit: squared_error(tailed, limit) for limit in np.linspace(1.0, 50.0, 99)}
    assert squared_error(tailed, chosen) <= min(errors.values()) * 1.1


def test_a_method_that_is_none_is_refused() -> None:
    assert range_method("max") == "max"
    with pytest.raises(UsageError, match="ranges 'entropy': use mse, percentile, max"):
        range_method("entropy")
