"""What times say: percentiles, ratios, and when a difference is one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.benchmark.statistics import ratio, summary

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=60)


@given(TIMES)
def test_a_summary_is_in_order(seconds: list[float]) -> None:
    found = summary(seconds)
    assert found.calls == len(seconds)
    assert min(seconds) == found.minimum <= found.median <= found.p90 <= found.p99 <= max(seconds)


@given(TIMES, st.floats(0.1, 10))
def test_twice_the_time_is_twice_the_ratio_whatever_the_noise(seconds: list[float], factor: float) -> None:
    found = ratio([factor * time for time in seconds], seconds)
    assert np.allclose((found.value, found.low, found.high), factor, rtol=1e-9)


@given(TIMES)
def test_something_is_no_faster_than_itself(seconds: list[float]) -> None:
    found = ratio(seconds, seconds)
    assert (found.low, found.value, found.high) == (1, 1, 1)
    assert not found.decided


def test_noise_is_not_called_a_difference_and_a_difference_is() -> None:
    """Of 200 pairs of equal times, about 5 % may look different; times that differ by 20 % always do."""
    generator = np.random.default_rng(0)

    def noisy(scale: float) -> list[float]:
        return (scale * generator.lognormal(0, 0.1, 60)).tolist()

    false_alarms = sum(ratio(noisy(1), noisy(1)).decided for _ in range(200))
    assert false_alarms <= 24
    for _ in range(50):
        found = ratio(noisy(1.2), noisy(1))
        assert found.decided
        assert found.low > 1


def test_a_disturbance_that_lasts_widens_the_interval() -> None:
    """Half of the rounds were slow for one of the two: what their ratio is, nobody can say from that."""
    generator = np.random.default_rng(1)
    baseline = generator.lognormal(0, 0.02, 60)
    disturbed = generator.lognormal(0, 0.02, 60) * np.repeat((1.0, 1.5), 30)
    found = ratio(disturbed.tolist(), baseline.tolist())
    assert found.high - found.low > 0.2
