import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.tasks.classification.parity.patches import PatchDifference, compare_patches, patch_fault

MARGIN = 1e-5
#                         0    1    2           3    4    5
SIGNIFICANCE = np.array([1.0, 0.5, 0.5 - 4e-6, 0.8, 0.1, 0.4])


def positions(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def compare(reference: np.ndarray, engine: np.ndarray) -> PatchDifference:
    return compare_patches(reference, engine, SIGNIFICANCE, MARGIN)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12), st.data())
def test_the_order_is_right_if_and_only_if_it_descends(values: list[float], data: st.DataObject) -> None:
    significance = np.array(values)
    best = np.argsort(-significance, kind="stable").astype(np.int32)
    listed = np.array(data.draw(st.permutations(best.tolist())), np.int32)
    order = compare_patches(best, listed, significance, 0.0).order
    descends = bool((np.diff(significance[listed]) <= 0).all())
    assert (order != "mismatch") == descends
    assert (order == "same") == np.array_equal(best, listed)


def test_the_same_list_is_the_same() -> None:
    difference = compare(positions(0, 3, 1), positions(0, 3, 1))
    assert (difference.order, difference.inversion, difference.mismatched) == ("same", 0.0, False)
    assert (difference.selection.overlap, difference.selection.differing) == (1.0, ())


def test_two_patches_that_tie_may_be_listed_either_way() -> None:
    difference = compare(positions(0, 3, 1, 2), positions(0, 3, 2, 1))
    assert (difference.order, difference.mismatched) == ("tie", False)
    assert difference.inversion == pytest.approx(4e-6)


def test_two_others_may_not() -> None:
    difference = compare(positions(0, 3, 1), positions(3, 0, 1))
    assert (difference.order, difference.mismatched) == ("mismatch", True)
    assert difference.inversion == pytest.approx(0.2)
    assert difference.selection.differing == ()


def test_small_steps_do_not_add_up_to_a_tie() -> None:
    """Neighbours in the list tie, the first and the last do not."""
    significance = 1 - 0.8 * MARGIN * np.arange(4)
    assert compare_patches(positions(0, 1, 2, 3), positions(1, 0, 2, 3), significance, MARGIN).order == "tie"
    assert compare_patches(positions(0, 1, 2, 3), positions(3, 2, 1, 0), significance, MARGIN).order == "mismatch"


def test_a_patch_at_the_limit_may_be_kept_by_either_side() -> None:
    tie = compare(positions(0, 3, 1), positions(0, 3, 2))
    assert [token.kind for token in tie.selection.differing] == ["tie", "tie"]
    assert not tie.mismatched
    wrong = compare(positions(0, 3, 1), positions(0, 3, 5))
    assert wrong.selection.count("mismatch") == 1
    assert wrong.mismatched


@pytest.mark.parametrize(
    ("kept", "fault"),
    [
        (positions(0, 6), "a value outside 0..5: 0..6"),
        (positions(-1, 3), "a value outside 0..5: -1..3"),
        (positions(2, 3, 2), "values that repeat"),
        (positions(3, 0, 5), None),
    ],
)
def test_lists_that_cannot_be_right_are_named(kept: np.ndarray, fault: str | None) -> None:
    assert patch_fault(kept, 6) == fault
    if fault:
        difference = compare(positions(*range(len(kept))), kept)
        assert (difference.inversion, difference.mismatched) == (None, True)
