from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bundle import factory
from vpp_deploy.bundle.manifest import Manifest
from vpp_deploy.parity.tensors import Rows
from vpp_deploy.tasks.segmentation.parity.candidates import CandidateDifference, compare_candidates, margin

TOLERANCE = 1e-3
LEARNED, TRACKS = factory.TOKENS, factory.TRACKS  # learned queries 0..5, track slots 6..7
THRESHOLD, TRACK_THRESHOLD = 0.3, 0.25


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return factory.make_bundle(Path(tmp_path_factory.mktemp("candidates")) / "bundle").manifest


def outputs(probabilities: dict[int, float], candidates: int | None = None) -> dict[str, np.ndarray]:
    """Two classes and "no object": query to the probability of the first class."""
    first = np.array(list(probabilities.values()))
    return {
        "class_logits": np.log(np.stack([first, first * 0 + 1e-9, 1 - first], axis=1)).astype(np.float32),
        "query_indices": np.array(list(probabilities), np.int32),
        "candidates": np.array([sum(p > THRESHOLD for p in first) if candidates is None else candidates], np.int32),
    }


def compare(
    manifest: Manifest, reference: dict[str, np.ndarray], engine: dict[str, np.ndarray], filled: int = TRACKS
) -> tuple[CandidateDifference, Rows]:
    valid = np.arange(TRACKS) < filled
    return compare_candidates(manifest, reference, engine, (valid, valid), TOLERANCE)


def test_the_margin_is_the_probability_minus_the_trackers_threshold(manifest: Manifest) -> None:
    found = margin(manifest, outputs({0: 0.5, 5: 0.1, 6: 0.5, 7: 0.9}), np.array([True, False]))
    assert found == pytest.approx([0.5 - THRESHOLD, 0.1 - THRESHOLD, 0.5 - TRACK_THRESHOLD, -1.0], abs=1e-6)


def test_rows_that_matter_on_either_side_are_compared(manifest: Manifest) -> None:
    reference, engine = outputs({0: 0.9, 1: 0.1, 3: 0.31}), outputs({0: 0.9, 2: 0.1, 3: 0.29, 4: 0.1})
    difference, rows = compare(manifest, reference, engine)
    assert [list(side) for side in rows] == [[0, 2], [0, 2]]
    assert (difference.only_reference, difference.only_engine, difference.missing) == ((3,), (), ())


def test_the_most_probable_query_is_compared_when_none_matters(manifest: Manifest) -> None:
    _, rows = compare(manifest, outputs({0: 0.1, 2: 0.2}), outputs({0: 0.1, 2: 0.2}))
    assert [list(side) for side in rows] == [[1], [1]]


def test_empty_track_slots_do_not_matter(manifest: Manifest) -> None:
    difference, rows = compare(manifest, outputs({0: 0.9, 6: 0.9}, 1), outputs({0: 0.9, 7: 0.9}, 1), filled=0)
    assert difference == CandidateDifference(1, 1, (), (), (), miscounted=False)
    assert [list(side) for side in rows] == [[0], [0]]


def test_a_clear_candidate_that_one_side_lacks_is_missing(manifest: Manifest) -> None:
    both_ways = outputs({0: 0.9, 1: 0.1}), outputs({1: 0.1, 2: 0.1})
    for reference, engine in (both_ways, both_ways[::-1]):
        difference, _ = compare(manifest, reference, engine)
        assert difference.missing == (0,)
        assert difference.miscounted


def test_a_candidate_at_the_threshold_may_be_on_one_side_only(manifest: Manifest) -> None:
    difference, _ = compare(manifest, outputs({0: 0.9, 1: 0.3005}), outputs({0: 0.9, 2: 0.1}))
    assert difference.missing == ()
    assert not difference.miscounted


def test_of_a_full_output_the_last_candidates_may_differ(manifest: Manifest) -> None:
    difference, _ = compare(manifest, outputs({0: 0.9, 1: 0.6}, 3), outputs({0: 0.9, 2: 0.6}, 3))
    assert difference.missing == ()
    difference, _ = compare(manifest, outputs({0: 0.9, 1: 0.6}, 3), outputs({1: 0.6, 2: 0.6}, 3))
    assert difference.missing == (0,)


@given(st.dictionaries(st.integers(0, LEARNED + TRACKS - 1), st.floats(0.01, 0.99), min_size=1), st.randoms())
def test_the_order_of_rows_does_not_matter(manifest: Manifest, probabilities: dict[int, float], random: Random) -> None:
    shuffled = list(probabilities.items())
    random.shuffle(shuffled)
    reference, engine = outputs(probabilities), outputs(dict(shuffled))
    difference, rows = compare(manifest, reference, engine)
    assert (difference.only_reference, difference.only_engine, difference.missing) == ((), (), ())
    np.testing.assert_array_equal(reference["query_indices"][rows[0]], engine["query_indices"][rows[1]])
    assert len(rows[0]) >= 1
