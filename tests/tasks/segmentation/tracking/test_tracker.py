from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.tasks.segmentation.results import Instances
from vpp_deploy.tasks.segmentation.tracking.detections import Detections, decode_detections
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker, TrackerState

NUM_QUERIES = 8
WIDTH = 4
SIZE = (12, 40)


def new_tracker() -> QueryTracker:
    return QueryTracker(TrackerSpec(), NUM_QUERIES, WIDTH)


def columns(*ranges: tuple[int, int]) -> np.ndarray:
    """Masks `[n, H, W]` that fill columns start to stop."""
    masks = np.zeros((len(ranges), *SIZE), bool)
    for mask, (start, stop) in zip(masks, ranges, strict=True):
        mask[:, start:stop] = True
    return masks


def detect(queries: list[int], scores: list[float], masks: np.ndarray, labels: list[int] | None = None) -> Detections:
    return Detections(
        query_indices=np.array(queries, np.int64),
        rows=np.arange(len(queries)),
        labels=np.array(labels or [0] * len(queries), np.int64),
        scores=np.array(scores, np.float32),
        boxes=np.zeros((len(queries), 4), np.float32),
        masks=masks,
    )


def features(*values: float) -> np.ndarray:
    return np.repeat(np.array(values, np.float32)[:, None], WIDTH, axis=1)


def random_frame(rng: np.random.Generator, slots: int) -> tuple[Detections, np.ndarray]:
    """Detections with distinct scores among the learned queries and the filled track slots."""
    count = int(rng.integers(0, 2 * NUM_QUERIES))
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        start, length = rng.integers(0, SIZE[1] - 6), rng.integers(4, 12)
        mask[:, start : start + length] = True
    queries = rng.integers(0, NUM_QUERIES + slots, count).tolist()
    scores = (rng.permutation(100)[:count] / 100 + 0.005).tolist()
    labels = rng.integers(0, 3, count).tolist()
    return detect(queries, scores, masks, labels), rng.standard_normal((count, WIDTH)).astype(np.float32)


def run(tracker: QueryTracker, seed: int, frames: range, shuffle: bool = False, **feed: int) -> list[Instances]:
    """Track a random video; its frame t depends on the seed, t and the number of tracks fed only."""
    results = []
    for t in frames:
        slots = len(tracker.feed(**feed).identities)
        detections, query_features = random_frame(np.random.default_rng([seed, t]), slots)
        if shuffle:
            detections = detections.take(np.random.default_rng(seed).permutation(len(detections)))
        results.append(tracker.update(t, detections, query_features))
    return results


def assert_same_state(one: TrackerState, other: TrackerState) -> None:
    for field in fields(TrackerState):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def assert_same_results(one: list[Instances], other: list[Instances]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for field in fields(Instances):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


@given(seed=st.integers(0, 2**32 - 1), split=st.integers(0, 15))
@settings(max_examples=30, deadline=None)
def test_a_restored_tracker_continues_identically(seed: int, split: int) -> None:
    tracker, other = new_tracker(), new_tracker()
    run(tracker, seed, range(split))
    saved = tracker.snapshot()
    expected = run(tracker, seed, range(split, 16))
    run(other, seed + 1, range(5))
    other.restore(saved)
    assert_same_results(run(other, seed, range(split, 16)), expected)
    assert_same_state(other.snapshot(), tracker.snapshot())


def test_a_snapshot_between_feed_and_update_keeps_the_slots() -> None:
    tracker, other = new_tracker(), new_tracker()
    tracker.update(0, detect([1], [0.9], columns((0, 10))), features(1))
    tracker.feed()
    other.restore(tracker.snapshot())
    again = detect([NUM_QUERIES], [0.8], columns((0, 10)))
    assert_same_results([other.update(1, again, features(2))], [tracker.update(1, again, features(2))])


def test_a_snapshot_cannot_be_written() -> None:
    tracker = new_tracker()
    run(tracker, 0, range(3))
    with pytest.raises(ValueError, match="read-only"):
        tracker.snapshot().features[0] = 0


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_of_detections_does_not_matter(seed: int) -> None:
    tracker, other = new_tracker(), new_tracker()
    assert_same_results(run(other, seed, range(16), shuffle=True), run(tracker, seed, range(16)))
    assert_same_state(other.snapshot(), tracker.snapshot())


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_capacity_that_suffices_equals_no_limit(seed: int) -> None:
    tracker, other = new_tracker(), new_tracker()
    assert_same_results(run(other, seed, range(16), capacity=500), run(tracker, seed, range(16)))
    assert_same_state(other.snapshot(), tracker.snapshot())


def test_reset_equals_a_new_tracker() -> None:
    tracker, other = new_tracker(), new_tracker()
    run(tracker, 1, range(9))
    tracker.reset()
    assert_same_results(run(tracker, 2, range(9)), run(other, 2, range(9)))
    assert_same_state(tracker.snapshot(), other.snapshot())


def three_tracks() -> QueryTracker:
    """Tracks 0, 1 and 2 from frame 0; then, in frame 1, track 1 is seen again."""
    tracker = new_tracker()
    tracker.update(0, detect([3, 4, 5], [0.9, 0.8, 0.7], columns((0, 10), (10, 20), (20, 30))), features(0, 1, 2))
    tracker.feed()
    tracker.update(1, detect([NUM_QUERIES + 1], [0.9], columns((10, 20))), features(11))
    return tracker


def test_too_many_tracks_the_most_recently_seen_are_fed_in_order_of_first_appearance() -> None:
    tracker = three_tracks()
    feed = tracker.feed(capacity=2)
    assert feed.identities.tolist() == [0, 1]  # 1 was seen last; of 0 and 2, 0 appeared first
    np.testing.assert_array_equal(feed.features, features(0, 11))
    assert feed.not_fed == 1
    seen = tracker.update(2, detect([NUM_QUERIES + 1], [0.9], columns((10, 20))), features(12))
    assert seen.identities.tolist() == [1]
    assert tracker.snapshot().identities.tolist() == [0, 1, 2]  # what was not fed is not forgotten
    assert tracker.feed(capacity=0).not_fed == 3


def test_a_slot_means_the_track_that_the_last_feed_put_there() -> None:
    tracker = three_tracks()
    assert tracker.feed(capacity=1).identities.tolist() == [1]
    seen = tracker.update(2, detect([NUM_QUERIES], [0.9], columns((10, 20))), features(12))
    assert seen.identities.tolist() == [1]
    np.testing.assert_array_equal(tracker.snapshot().features, features(0, 12, 2))


@pytest.mark.parametrize("capacity", [None, 2])
def test_an_empty_slot_is_refused(capacity: int | None) -> None:
    tracker = three_tracks()
    filled = len(tracker.feed(capacity).identities)
    with pytest.raises(ValueError, match=f"track slot {filled}, but the last feed filled {filled}"):
        tracker.update(2, detect([NUM_QUERIES + filled], [0.9], columns((10, 20))), features(0))


def test_a_feed_serves_one_frame() -> None:
    tracker = three_tracks()
    with pytest.raises(ValueError, match="call feed first"):
        tracker.update(2, detect([NUM_QUERIES], [0.9], columns((0, 10))), features(0))


def test_rule_1_the_thresholds_are_exclusive_and_depend_on_the_kind_of_query() -> None:
    tracker = new_tracker()
    masks = columns(*[(0, 1)] * 4)
    detections = detect([0, 1, NUM_QUERIES, NUM_QUERIES + 1], [0.3, 0.31, 0.25, 0.26], masks)
    assert tracker.confident(detections).tolist() == [1, 3]
    np.testing.assert_array_equal(
        tracker.score_floor(detections.query_indices), np.array([0.3, 0.3, 0.25, 0.25], np.float32)
    )


@pytest.mark.parametrize("scores", [[], [0.2]])
def test_rule_2_a_frame_without_confident_detections_changes_nothing(scores: list[float]) -> None:
    tracker = three_tracks()
    before = tracker.snapshot()
    tracker.feed()
    nothing = detect([0] * len(scores), scores, columns(*[(0, 10)] * len(scores)))
    instances = tracker.update(99, nothing, features(*scores).reshape(-1, WIDTH))
    assert len(instances) == 0
    assert instances.masks.shape == (0, *SIZE)
    assert_same_state(tracker.snapshot(), before)
    tracker.feed()
    revived = tracker.update(99, detect([NUM_QUERIES], [0.9], columns((0, 10))), features(7))
    assert revived.identities.tolist() == [0]


def test_rule_3_of_two_existing_tracks_on_one_object_the_weaker_is_silent_whatever_its_label() -> None:
    tracker = three_tracks()
    tracker.feed()
    both = detect([NUM_QUERIES, NUM_QUERIES + 1], [0.5, 0.6], columns((0, 10), (0, 9)), labels=[1, 2])
    assert tracker.update(2, both, features(20, 21)).identities.tolist() == [1]
    np.testing.assert_array_equal(tracker.snapshot().features, features(0, 21, 2))
    assert tracker.snapshot().last_seen.tolist() == [0, 2, 0]


def test_rule_4_a_doubtful_track_is_put_out_but_keeps_the_feature_that_was_fed() -> None:
    tracker = three_tracks()
    tracker.feed()
    doubtful = detect([NUM_QUERIES, NUM_QUERIES + 1], [0.28, 0.3], columns((0, 10), (10, 20)))
    assert tracker.update(2, doubtful, features(20, 21)).identities.tolist() == [1, 0]
    np.testing.assert_array_equal(tracker.snapshot().features, features(0, 21, 2))
    assert tracker.snapshot().last_seen.tolist() == [2, 2, 0]


def test_rules_5_and_6_new_tracks_are_numbered_before_existing_or_stronger_ones_suppress_them() -> None:
    tracker = three_tracks()
    tracker.feed()
    detections = detect(
        [0, 1, 2, NUM_QUERIES], [0.9, 0.8, 0.7, 0.4], columns((0, 8), (20, 30), (19, 29), (0, 10)), labels=[1, 1, 2, 3]
    )
    instances = tracker.update(2, detections, features(0, 1, 2, 3))
    assert instances.identities.tolist() == [0, 4]  # 3 lies on track 0, 5 lies on 4
    np.testing.assert_array_equal(instances.scores, np.array([0.4, 0.8], np.float32))
    assert tracker.snapshot().next_identity == 6
    assert tracker.snapshot().identities.tolist() == [0, 1, 2, 4]
    assert tracker.snapshot().learned_queries.tolist() == [3, 4, 5, 1]


def test_rule_6_existing_tracks_between_the_two_thresholds_both_stay() -> None:
    tracker = three_tracks()
    tracker.feed()
    overlapping = detect([NUM_QUERIES, NUM_QUERIES + 1], [0.9, 0.8], columns((0, 10), (3, 13)))  # overlap 7 / 13
    assert tracker.update(2, overlapping, features(0, 1)).identities.tolist() == [0, 1]


@pytest.mark.parametrize(("frame_index", "remembered"), [(9, [0, 1, 2]), (10, [1]), (11, [1])])
def test_rule_8_a_track_is_dropped_ten_frames_after_it_was_last_seen(frame_index: int, remembered: list[int]) -> None:
    tracker = three_tracks()
    tracker.feed()
    tracker.update(frame_index, detect([NUM_QUERIES + 1], [0.9], columns((10, 20))), features(0))
    assert tracker.snapshot().identities.tolist() == remembered


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_score_floor_of_decoding_changes_no_track(seed: int) -> None:
    sizes = {"padded_size": (64, 96), "content_size": (58, 90), "original_size": (87, 135)}
    trackers = new_tracker(), new_tracker()
    for t in range(4):
        results = []
        for tracker, with_floor in zip(trackers, (False, True), strict=True):
            slots = len(tracker.feed().identities)
            count = NUM_QUERIES + slots
            rng = np.random.default_rng([seed, t])
            query_indices = np.arange(count, dtype=np.int32)
            detections = decode_detections(
                rng.normal(0, 1.5, (count, 4)).astype(np.float32),
                rng.normal(-1, 3, (count, 16, 24)).astype(np.float32),
                query_indices,
                **sizes,
                max_instances=count,
                score_floor=tracker.score_floor(query_indices) if with_floor else None,
            )
            query_features = rng.standard_normal((count, WIDTH)).astype(np.float32)
            results.append(tracker.update(t, detections, query_features))
        assert_same_results(results[:1], results[1:])
    assert_same_state(trackers[0].snapshot(), trackers[1].snapshot())
