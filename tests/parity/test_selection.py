import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.parity.selection import SelectionDifference, compare_selections, position_fault

MARGIN = 1e-5
#                   0    1    2           3    4    5
SCORES = np.array([0.9, 0.5, 0.5 - 4e-6, 0.8, 0.1, 0.4], np.float32)


def positions(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def compare_point(reference: np.ndarray, engine: np.ndarray, scores: np.ndarray | None = SCORES) -> SelectionDifference:
    by_point = {} if scores is None else {"point": scores}
    return compare_selections({"point": reference}, {"point": engine}, by_point, MARGIN)["point"]


def kinds(difference: SelectionDifference) -> dict[int, str]:
    return {token.position: token.kind for token in difference.differing}


@given(st.sets(st.integers(0, 99), min_size=1))
def test_the_same_tokens_overlap_fully(kept: set[int]) -> None:
    array = positions(*sorted(kept))
    difference = compare_point(array, array.copy(), None)
    assert (difference.overlap, difference.differing) == (1.0, ())


@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
def test_every_token_is_common_or_differs(reference: set[int], engine: set[int]) -> None:
    difference = compare_point(positions(*sorted(reference)), positions(*sorted(engine)), None)
    assert difference.common == len(reference & engine)
    assert difference.overlap == pytest.approx(len(reference & engine) / len(reference))
    assert {token.position for token in difference.differing} == reference ^ engine
    assert {token.position for token in difference.differing if token.kept_by == "engine"} == engine - reference


def test_tokens_within_the_margin_of_the_kth_score_are_ties() -> None:
    difference = compare_point(positions(0, 1, 3), positions(0, 2, 3))
    assert kinds(difference) == {1: "tie", 2: "tie"}
    assert difference.overlap == pytest.approx(2 / 3)
    gaps = {token.position: token.gap for token in difference.differing}
    assert gaps == {1: 0.0, 2: pytest.approx(-4e-6, rel=0.02)}


def test_tokens_beyond_the_margin_are_mismatches() -> None:
    assert kinds(compare_point(positions(0, 1, 3), positions(0, 1, 5))) == {3: "mismatch", 5: "mismatch"}
    assert kinds(compare_point(positions(0, 1, 3), positions(0, 3, 5))) == {1: "tie", 5: "mismatch"}


def test_without_scores_nothing_is_a_tie() -> None:
    assert kinds(compare_point(positions(1), positions(2), None)) == {1: "mismatch", 2: "mismatch"}


def test_a_position_outside_the_grid_is_a_mismatch() -> None:
    assert kinds(compare_point(positions(0, 1), positions(0, 77))) == {1: "tie", 77: "mismatch"}


def test_a_pruned_token_that_comes_back_is_no_tie() -> None:
    reference = {"first": positions(0, 1, 3), "second": positions(0, 1)}
    engine = {"first": positions(0, 1, 3), "second": positions(0, 2)}
    found = compare_selections(reference, engine, {"first": SCORES, "second": SCORES}, MARGIN)
    assert kinds(found["first"]) == {}
    assert kinds(found["second"]) == {1: "tie", 2: "mismatch"}


def test_what_follows_a_difference_is_its_consequence() -> None:
    reference = {"first": positions(0, 1, 3), "second": positions(0, 1), "third": positions(0)}
    engine = {"first": positions(0, 2, 3), "second": positions(0, 3), "third": positions(0)}
    found = compare_selections(reference, engine, dict.fromkeys(reference, SCORES), MARGIN)
    assert kinds(found["first"]) == {1: "tie", 2: "tie"}
    assert kinds(found["second"]) == {1: "consequence", 3: "consequence"}
    assert kinds(found["third"]) == {}
    assert [found[name].count("mismatch") for name in found] == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ((0, 3, 5), None),
        ((), None),
        ((0, 6), r"outside 0\.\.5: 0\.\.6"),
        ((-1, 2), r"outside 0\.\.5: -1\.\.2"),
        ((1, 1), "not strictly ascending"),
        ((2, 1), "not strictly ascending"),
    ],
)
def test_positions_must_ascend_on_the_grid(values: tuple[int, ...], fault: str | None) -> None:
    found = position_fault(positions(*values), 6)
    if fault is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=fault):
            raise AssertionError(found)
