import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.segmentation.tracking.reference import assert_masks_follow, resized_whole, two_step_logits
from vpp_deploy.tasks.segmentation.tracking.boxes import tight_box
from vpp_deploy.tasks.segmentation.tracking.detections import Detections, decode_detections
from vpp_deploy.tasks.segmentation.tracking.mask_resize import axis_resize, resize_mask

SIZES = {"padded_size": (64, 96), "content_size": (58, 90), "original_size": (87, 135)}
PLAIN_SIZES = tuple(SIZES.values())


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Lengths in the logits, the padded input, the content and the source."""
    logits = draw(st.integers(1, 24))
    padded = 4 * logits
    return logits, padded, draw(st.integers(1, padded)), draw(st.integers(1, 200))


def random_logits(seed: int, height: int, width: int) -> np.ndarray:
    """Noise over a background that makes anything from empty to full masks, in the middle or at the edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width))
    blob = rng.uniform(-0.2, 1) * np.hypot(height, width) - distance
    return (blob * rng.uniform(0.5, 5) + rng.normal(0, rng.choice([0, 1]), (height, width))).astype(np.float32)


def candidates(seed: int, count: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    class_logits = rng.normal(0, 2, (count, classes + 1)).astype(np.float32)
    mask_logits = np.stack([random_logits(seed + n, 16, 24) for n in range(count)])
    return class_logits, mask_logits, np.arange(count, dtype=np.int32)


def assert_same(one: Detections, other: Detections, fields: tuple[str, ...] = Detections.__slots__) -> None:
    for field in fields:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


@given(rows=axes(), columns=axes(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_one_matrix_per_axis_equals_resizing_twice(
    rows: tuple[int, int, int, int], columns: tuple[int, int, int, int], seed: int
) -> None:
    logits = random_logits(seed, rows[0], columns[0])
    expected = two_step_logits(logits[None], *zip(rows[1:], columns[1:], strict=True))[0]
    ours = axis_resize(*rows).weights @ logits @ axis_resize(*columns).weights.T
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * (1 + np.abs(logits).max()))


@given(lengths=axes())
@settings(max_examples=60, deadline=None)
def test_the_supports_cover_exactly_the_nonzero_weights(lengths: tuple[int, int, int, int]) -> None:
    axis = axis_resize(*lengths)
    for n, weights in enumerate(axis.weights):
        (nonzero,) = np.nonzero(weights)
        assert (axis.first[n], axis.last[n]) == (nonzero[0], nonzero[-1])
    assert (np.diff(axis.first) >= 0).all()
    assert (np.diff(axis.last) >= 0).all()
    np.testing.assert_allclose(axis.weights.sum(axis=1), 1, atol=1e-6)


@given(rows=axes(), columns=axes(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_skipping_what_cannot_be_positive_changes_nothing(
    rows: tuple[int, int, int, int], columns: tuple[int, int, int, int], seed: int
) -> None:
    logits = random_logits(seed, rows[0], columns[0])
    row_axis, column_axis = axis_resize(*rows), axis_resize(*columns)
    everything = row_axis.weights @ logits @ column_axis.weights.T
    mask = np.zeros(everything.shape, bool)
    summary = resize_mask(logits, row_axis, column_axis, mask)
    assert_masks_follow(mask, everything > 0, everything)
    sigmoid = 1 / (1 + np.exp(-everything.astype(np.float64)))
    assert summary.mean_probability == pytest.approx((sigmoid * mask).sum() / (mask.sum() + 1e-6), abs=1e-5)
    assert 0 <= summary.mean_probability <= 1
    assert summary.box == tight_box(mask)


@pytest.mark.parametrize("size", [(720, 1280), (270, 480), (61, 95)])
@pytest.mark.parametrize("seed", [5, 6, 8])
def test_products_in_pieces_equal_whole_ones_to_the_last_bit(seed: int, size: tuple[int, int]) -> None:
    row_axis, column_axis = axis_resize(96, 384, 360, size[0]), axis_resize(160, 640, 640, size[1])
    logits = random_logits(seed, 96, 160)
    mask = np.zeros(size, bool)
    summary = resize_mask(logits, row_axis, column_axis, mask)
    expected, mean_probability = resized_whole(logits, row_axis, column_axis)
    assert expected.any()
    np.testing.assert_array_equal(mask, expected)
    assert summary.mean_probability == mean_probability


def test_a_tight_box_is_exclusive_at_its_far_end() -> None:
    mask = np.zeros((6, 8), bool)
    assert tight_box(mask) == (0, 0, 0, 0)
    mask[2, 3] = True
    assert tight_box(mask) == (3, 2, 4, 3)
    mask[5, 7] = True
    assert tight_box(mask) == (3, 2, 8, 6)
    assert tight_box(mask, top=10, left=20) == (23, 12, 28, 16)


@given(seed=st.integers(0, 2**32 - 1), floor=st.floats(0, 0.875, width=32))
@settings(max_examples=30, deadline=None)
def test_the_score_floor_keeps_every_detection_above_it(seed: int, floor: float) -> None:
    arrays = candidates(seed, count=6)
    floors = np.where(np.arange(6) < 3, np.float32(floor), np.float32(floor) / 2).astype(np.float32)
    everything = decode_detections(*arrays, **SIZES, max_instances=9)
    some = decode_detections(*arrays, **SIZES, max_instances=9, score_floor=floors)
    assert len(some) <= len(everything)
    assert_same(
        some.take(np.flatnonzero(some.scores > floors[some.rows])),
        everything.take(np.flatnonzero(everything.scores > floors[everything.rows])),
    )


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_the_most_probable_pairs_are_kept_in_order(seed: int, count: int) -> None:
    class_logits, mask_logits, query_indices = candidates(seed, count=5)
    detections = decode_detections(class_logits, mask_logits, query_indices, **SIZES, max_instances=count)
    probabilities = np.exp(class_logits.astype(np.float64))
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True))[:, :-1]
    expected = np.argsort(-probabilities.ravel())[:count]
    np.testing.assert_array_equal(detections.query_indices * 4 + detections.labels, expected)
    logits = two_step_logits(mask_logits, *PLAIN_SIZES)[detections.rows]
    assert_masks_follow(detections.masks, logits > 0, logits)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_candidates_does_not_matter(seed: int) -> None:
    class_logits, mask_logits, query_indices = candidates(seed, count=6)
    class_logits = np.round(class_logits)  # ties
    order = np.random.default_rng(seed).permutation(6)
    one = decode_detections(class_logits, mask_logits, query_indices, **SIZES, max_instances=12)
    other = decode_detections(class_logits[order], mask_logits[order], query_indices[order], **SIZES, max_instances=12)
    assert_same(one, other, ("query_indices", "labels", "scores", "boxes", "masks"))
    np.testing.assert_array_equal(order[other.rows], one.rows)


def test_equal_probabilities_are_ordered_by_query_then_class() -> None:
    class_logits = np.zeros((2, 3), np.float32)
    detections = decode_detections(
        class_logits, np.ones((2, 16, 24), np.float32), np.array([7, 5]), **SIZES, max_instances=3
    )
    np.testing.assert_array_equal(detections.query_indices, [5, 5, 7])
    np.testing.assert_array_equal(detections.labels, [0, 1, 0])
    np.testing.assert_array_equal(detections.rows, [1, 1, 0])


def test_an_empty_mask_scores_zero() -> None:
    class_logits = np.array([[9, 0]], np.float32)
    detections = decode_detections(
        class_logits, np.full((1, 16, 24), -3, np.float32), np.array([0]), **SIZES, max_instances=1
    )
    np.testing.assert_array_equal(detections.scores, [0])
    np.testing.assert_array_equal(detections.boxes, [[0, 0, 0, 0]])
    assert not detections.masks.any()


def test_a_full_mask_covers_the_source_picture_and_large_logits_do_not_overflow() -> None:
    mask_logits = np.full((1, 16, 24), 500, np.float32)
    mask_logits[0, 15, 23] = -500  # in the padding and just inside the picture
    with np.errstate(all="raise", under="ignore"):
        detections = decode_detections(
            np.array([[9, 0]], np.float32), mask_logits, np.array([0]), **SIZES, max_instances=1
        )
    height, width = SIZES["original_size"]
    np.testing.assert_array_equal(detections.boxes, [[0, 0, width, height]])
    assert 0.999 < detections.scores[0] <= 1


def test_no_candidates_give_no_detections() -> None:
    class_logits, mask_logits, query_indices = (array[:0] for array in candidates(0, 1))
    detections = decode_detections(class_logits, mask_logits, query_indices, **SIZES, max_instances=9)
    assert_same(detections, Detections.empty(SIZES["original_size"]))
    assert detections.masks.shape == (0, *SIZES["original_size"])


def test_arrays_that_disagree_are_refused() -> None:
    class_logits, mask_logits, query_indices = candidates(0, 3)
    with pytest.raises(ValueError, match="3 rows of class logits, 2 of mask logits"):
        decode_detections(class_logits, mask_logits[:2], query_indices, **SIZES, max_instances=3)


def test_content_larger_than_the_model_input_is_refused() -> None:
    sizes = SIZES | {"content_size": (65, 90)}
    with pytest.raises(ValueError, match="padded 64, content 65"):
        decode_detections(*candidates(0, 3), **sizes, max_instances=3)
