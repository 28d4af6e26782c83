import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vpp_deploy.parity.tensors import TensorDifference, align_rows, compare_tensors

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
TENSORS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=3, max_side=5), elements=FLOATS)
SEEDS = st.integers(0, 2**32 - 1)


def all_rows(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(tensor))
    return rows, rows


def compare(reference: np.ndarray, engine: np.ndarray) -> TensorDifference:
    return compare_tensors(reference, engine, all_rows(reference))


@given(TENSORS)
def test_identical_tensors_differ_by_nothing(tensor: np.ndarray) -> None:
    difference = compare(tensor, tensor.copy())
    assert (difference.maximum, difference.mean, difference.values) == (0.0, 0.0, tensor.size)
    assert difference.cosine == (pytest.approx(1.0) if tensor.any() else None)


@given(TENSORS, SEEDS)
def test_the_difference_is_symmetric_and_bounded(tensor: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).standard_normal(tensor.shape).astype(np.float32)
    one, two = compare(tensor, other), compare(other, tensor)
    assert one == two
    assert 0.0 <= one.mean <= one.maximum * (1 + 1e-9)
    assert one.cosine is None or -1.0 <= one.cosine <= 1.0


@given(st.integers(1, 8), SEEDS)
def test_the_order_of_rows_does_not_matter_when_their_keys_move_along(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.choice(50, count, replace=False))
    reference, engine = rng.standard_normal((2, count, 3))
    before = compare_tensors(reference, engine, align_rows(keys, keys))
    order = rng.permutation(count)
    after = compare_tensors(reference, engine[order], align_rows(keys, keys[order]))
    assert after == before


@given(TENSORS, st.floats(1e-3, 1e3))
def test_scaling_one_side_keeps_the_cosine(tensor: np.ndarray, factor: float) -> None:
    cosine = compare(tensor, tensor.astype(np.float64) * factor).cosine
    assert cosine is None or cosine == pytest.approx(1.0)


def test_only_rows_with_the_same_key_are_compared() -> None:
    rows = align_rows(np.array([2, 5, 9]), np.array([5, 9, 11]))
    reference = np.array([[7.0], [1.0], [2.0]])
    engine = np.array([[1.5], [2.0], [99.0]])
    difference = compare_tensors(reference, engine, rows)
    assert (difference.values, difference.maximum, difference.mean) == (2, 0.5, 0.25)


def test_values_that_are_not_finite_are_counted_in_all_rows_and_left_out_of_the_difference() -> None:
    reference = np.array([1.0, 2.0, 3.0, np.inf], np.float32)
    engine = np.array([1.0, np.nan, 3.5, -np.inf], np.float32)
    difference = compare_tensors(reference, engine, (np.array([0, 1, 2]), np.array([0, 1, 2])))
    assert (difference.non_finite, difference.reference_non_finite) == (2, 1)
    assert (difference.values, difference.maximum) == (2, 0.5)


def test_nothing_in_common_is_no_difference_and_no_cosine() -> None:
    nothing = align_rows(np.array([1]), np.array([2]))
    difference = compare_tensors(np.ones((1, 2)), np.zeros((1, 2)), nothing)
    assert (difference.values, difference.maximum, difference.mean, difference.cosine) == (0, 0.0, 0.0, None)
