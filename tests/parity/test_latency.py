"""Both sides of a comparison are timed in pairs, and the first pair warms up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.parity import latency
from vpp_deploy.parity.report_table import latency_lines, legend

SECONDS = st.floats(1e-6, 1e3)


@given(pairs=st.lists(st.tuples(SECONDS, SECONDS), max_size=8))
def test_the_medians_are_of_all_pairs_but_the_first(pairs: list[tuple[float, float]]) -> None:
    watch = latency.Stopwatch()
    times = accumulate([moment for pair in pairs for seconds in pair for moment in (0.0, seconds)])
    with pytest.MonkeyPatch.context() as patch:
        clock: Iterator[float] = iter(list(times))
        patch.setattr(latency, "perf_counter", lambda: next(clock))
        for number in range(len(pairs)):
            assert watch.reference(lambda number=number: number) == number  # type: ignore[misc]
            assert watch.engine(lambda number=number: -number) == -number  # type: ignore[misc]
    found = watch.latency()
    counted = pairs[1:]
    if len(counted) < 3:
        assert found is None
        assert latency_lines(found, "frame") == []
        return
    assert found is not None
    assert found.calls == len(counted)
    assert found.reference == pytest.approx(median(ours for ours, _ in counted), rel=1e-3, abs=1e-9)
    assert found.speed_up == pytest.approx(median(ours / theirs for ours, theirs in counted), rel=1e-3)
    (line,) = latency_lines(found, "frame")
    assert line.plain.startswith(f"Latency of a frame, median of {len(counted)}, taking turns: PyTorch ")
    assert line.plain.endswith("slower") == (found.speed_up < 1)


def test_a_legend_explains_the_words_that_are_used() -> None:
    lines = [line.plain for line in legend("forced", "ties")]
    assert [line.split()[0] for line in lines[1:]] == ["forced", "ties"]
