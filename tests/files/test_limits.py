"""How numbers of bytes are told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.files.limits import in_bytes

POWERS = {"B": 0, "kB": 1, "MB": 2, "GB": 3, "TB": 4}


@given(st.integers(0, 10**15 - 10**12))
def test_three_digits_and_a_unit_that_shows_something(count: int) -> None:
    number, unit = in_bytes(count).split()
    assert len(number.replace(".", "")) <= 4
    assert "e" not in number
    assert 0 < float(number) < 1000 or count == 0
    assert abs(float(number) * 1000 ** POWERS[unit] - count) <= 0.005 * count


def test_the_unit_changes_where_a_number_would_have_four_digits() -> None:
    told = {0: "0 B", 999: "999 B", 1000: "1 kB", 999_499: "999 kB", 999_500: "1 MB", 2 * 10**9: "2 GB"}
    assert {count: in_bytes(count) for count in told} == told
    assert in_bytes(2**200) == "petabytes"
