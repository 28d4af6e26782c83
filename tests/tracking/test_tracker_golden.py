"""The tracker alone, against the original's on synthetic detections (`tracker_seq*.npz`)."""

import json
from pathlib import Path

import numpy as np
import pytest

from vpp_deploy.bundle.vpp_manifest import TrackerSpec
from vpp_deploy.tracking.detections import Detections
from vpp_deploy.tracking.tracker import QueryTracker


@pytest.mark.golden
def test_tracker_follows_the_original_on_every_sequence(vpp_golden: Path) -> None:
    config = json.loads((vpp_golden / "config.json").read_text())["tracker"]
    files = sorted(vpp_golden.glob("tracker_seq*.npz"))
    assert files
    for file in files:
        run = config[file.stem.removeprefix("tracker_seq")]
        with np.load(file) as arrays:
            follow(dict(arrays), run["frame_ids"], run["num_fixed_queries"])


def follow(arrays: dict[str, np.ndarray], frame_ids: list[int], num_queries: int) -> None:
    tracker = QueryTracker(TrackerSpec(), num_queries, query_width=arrays["t0_in_queries"].shape[1])
    for t, frame_index in enumerate(frame_ids):
        frame = {name.removeprefix(f"t{t}_"): array for name, array in arrays.items() if name.startswith(f"t{t}_")}
        if frame_index == 0:
            tracker.reset()

        feed = tracker.feed()
        np.testing.assert_array_equal(feed.features, frame["in_track_queries"])
        assert feed.not_fed == 0

        detections = Detections(
            query_indices=frame["in_query_ids"],
            rows=frame["in_query_ids"],
            labels=frame["in_labels"],
            scores=frame["in_scores"],
            boxes=frame["in_boxes_xyxy"],
            masks=frame["in_masks"],
        )
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
