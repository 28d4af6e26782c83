import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.tasks.segmentation.parity.tracks import compare_tracks
from vpp_deploy.tasks.segmentation.results import Instances


def instances(identities: list[int], labels: list[int] | None = None, seed: int = 0) -> Instances:
    rng, count = np.random.default_rng(seed), len(identities)
    return Instances(
        masks=rng.random((count, 6, 8)) > 0.5,
        boxes=np.zeros((count, 4), np.float32),
        scores=rng.random(count).astype(np.float32),
        labels=np.array(labels or [0] * count, np.int64),
        identities=np.array(identities, np.int64),
    )


def reordered(tracks: Instances, order: np.ndarray) -> Instances:
    return Instances(*(getattr(tracks, name)[order] for name in ("masks", "boxes", "scores", "labels", "identities")))


@given(st.lists(st.integers(0, 99), unique=True), st.integers(0, 1000))
def test_the_same_tracks_in_any_order_are_identical(identities: list[int], seed: int) -> None:
    tracks = instances(identities, seed=seed)
    difference = compare_tracks(tracks, reordered(tracks, np.random.default_rng(seed).permutation(len(tracks))))
    assert difference.identical
    assert (difference.tracks, difference.score_difference) == (len(identities), 0.0)
    assert difference.mask_ious == (1.0,) * len(identities)


def test_missing_additional_and_relabelled_tracks_are_named() -> None:
    difference = compare_tracks(instances([1, 4, 7], [0, 1, 2]), instances([9, 4, 1], [0, 2, 0]))
    assert not difference.identical
    assert (difference.only_reference, difference.only_engine, difference.relabelled) == ((7,), (9,), (4,))


def test_masks_and_scores_are_compared_by_identity() -> None:
    reference = instances([3, 8])
    engine = reordered(reference, np.array([1, 0]))
    engine.masks[0] = False
    engine.masks[0, 0, 0] = reference.masks[1, 0, 0] = True
    engine.scores[1] += 0.25
    difference = compare_tracks(reference, engine)
    assert difference.identical
    assert difference.mask_ious == (1.0, 1 / np.count_nonzero(reference.masks[1]))
    assert difference.score_difference == pytest.approx(0.25)


def test_two_empty_masks_are_equal() -> None:
    reference = instances([0])
    reference.masks[:] = False
    assert compare_tracks(reference, reference).mask_ious == (1.0,)
