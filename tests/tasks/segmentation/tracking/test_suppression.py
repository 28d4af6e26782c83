import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vpp_deploy.tasks.segmentation.tracking.suppression import Outline, unsuppressed, whole_masks


def greedy_over_whole_masks(masks: np.ndarray, threshold: float, protected: int) -> list[int]:
    flat = masks.reshape(len(masks), masks[0].size if len(masks) else 0).astype(np.float32)
    intersections = flat @ flat.T
    unions = flat.sum(axis=1)[:, None] + flat.sum(axis=1) - intersections
    overlaps = (intersections + np.float32(1e-6)) / (unions + np.float32(1e-6))
    survivors: list[int] = []
    for n in range(len(masks)):
        if n < protected or not (overlaps[n, survivors] > threshold).any():
            survivors.append(n)
    return survivors


def rectangles(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 20, 30), bool)
    for mask in masks:
        y1, y2 = np.sort(rng.integers(0, 21, 2))
        x1, x2 = np.sort(rng.integers(0, 31, 2))
        mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < 0.9
    return masks


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 12),
    threshold=st.floats(0, 1, width=32),
    protected=st.integers(0, 12),
)
@settings(max_examples=100, deadline=None)
def test_tight_boxes_change_no_decision(seed: int, count: int, threshold: float, protected: int) -> None:
    masks = rectangles(seed, count)
    outlines = [Outline.of(mask) for mask in masks]
    np.testing.assert_array_equal(whole_masks(outlines, (20, 30)), masks)
    assert unsuppressed(outlines, threshold, protected).tolist() == greedy_over_whole_masks(masks, threshold, protected)


def test_two_empty_masks_overlap_fully() -> None:
    assert unsuppressed([Outline.of(mask) for mask in np.zeros((2, 4, 4), bool)], 0.7).tolist() == [0]


def test_a_suppressed_mask_suppresses_nothing() -> None:
    masks = np.zeros((3, 1, 30), bool)
    for n, mask in enumerate(masks):
        mask[:, 5 * n : 5 * n + 20] = True  # neighbours overlap by 0.6, the outer two by 1/3
    assert unsuppressed([Outline.of(mask) for mask in masks], 0.4).tolist() == [0, 2]
