"""The tracker alone, against the original's on synthetic detections (`tracker_seq*.npz`)."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.segmentation.tracking.golden import Sequence, detections_of, tracker_sequences
from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker


@pytest.mark.golden
def test_tracker_follows_the_original_on_every_sequence(vpp_golden: Path) -> None:
    for sequence in tracker_sequences(vpp_golden):
        follow(sequence)


def follow(sequence: Sequence) -> None:
    tracker = QueryTracker(TrackerSpec(), sequence.num_queries, sequence.query_width)
    for frame_index, frame in sequence.frames:
        if frame_index == 0:
            tracker.reset()

        feed = tracker.feed()
        np.testing.assert_array_equal(feed.features, frame["in_track_queries"])
        assert feed.not_fed == 0

        detections = detections_of(frame)
        np.testing.assert_array_equal(tracker.confident(detections), frame["filtered_index"])

        instances = tracker.update(frame_index, detections, frame["in_queries"])
        output = detections.take(frame["out_index"])
        np.testing.assert_array_equal(instances.identities, frame["out_ids"])
        np.testing.assert_array_equal(instances.scores, output.scores)  # distinct: they identify the detection
        np.testing.assert_array_equal(instances.labels, output.labels)
        np.testing.assert_array_equal(instances.boxes, output.boxes)
        np.testing.assert_array_equal(instances.masks, output.masks)

        memory = tracker.snapshot()
        np.testing.assert_array_equal(memory.identities, frame["state_ids"])
        np.testing.assert_array_equal(memory.features, frame["state_feats"])
        np.testing.assert_array_equal(memory.learned_queries, frame["state_static_query_ids"])
        np.testing.assert_array_equal(memory.last_seen, frame["state_last_frame"])
        assert memory.next_identity == frame["state_num_tracks"]
        remembered = memory.features[np.searchsorted(memory.identities, instances.identities)]
        np.testing.assert_array_equal(remembered, frame["out_feats"])
