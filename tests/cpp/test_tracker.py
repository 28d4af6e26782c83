"""The C++ tracker takes every decision of the Python tracker, and of the original on its golden sequences."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cpp.runtime import Runtime
from tests.tasks.segmentation.tracking.golden import Sequence, Video, detections_of, tracker_sequences, videos
from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.tasks.segmentation.results import Instances
from vpp_deploy.tasks.segmentation.tracking.detections import Detections, decode_detections
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker, TrackerState

NUM_QUERIES = 8
WIDTH = 4
SIZE = (12, 40)


class Recorder:
    """A Python tracker that writes down what it was asked, for the C++ tracker, and what came of it."""

    def __init__(self, num_queries: int, width: int, spec: TrackerSpec | None = None) -> None:
        self.spec = spec or TrackerSpec()
        self.tracker = QueryTracker(self.spec, num_queries, width)
        self.case = {"num_queries": num_queries, "query_width": width, "spec": self.spec.model_dump(), "steps": []}
        self.expected: list[dict[str, Any]] = []
        self._snapshots: dict[str, TrackerState] = {}

    def feed(self, capacity: int | None = None) -> int:
        """Gives how many tracks were fed."""
        self._record({"step": "feed", "capacity": capacity}, **asdict(self.tracker.feed(capacity)))
        return len(self.expected[-1]["identities"])

    def update(self, frame_index: int, detections: Detections, features: np.ndarray, **step: Any) -> None:
        confident = self.tracker.confident(detections)
        instances = self.tracker.update(frame_index, detections, features)
        given = step or {"detections": asdict(detections)}
        step = {"step": "update", "frame_index": frame_index, "query_features": features, **given}
        self._record(step, confident=confident, instances=instances)

    def snapshot(self, name: str) -> None:
        self._snapshots[name] = self.tracker.snapshot()
        self._record({"step": "snapshot", "name": name})

    def restore(self, name: str) -> None:
        self.tracker.restore(self._snapshots[name])
        self._record({"step": "restore", "name": name})

    def reset(self) -> None:
        self.tracker.reset()
        self._record({"step": "reset"})

    def _record(self, step: dict[str, Any], **expected: Any) -> None:
        self.case["steps"].append(step)
        self.expected.append(expected | {"state": asdict(self.tracker.snapshot())})


def check(runtime: Runtime, recorders: list[Recorder]) -> None:
    """Everything is equal, bit by bit."""
    for recorder, outcomes in zip(
        recorders, runtime.run("tracker", [recorder.case for recorder in recorders]), strict=True
    ):
        assert isinstance(outcomes, list), outcomes
        for expected, ours in zip(recorder.expected, outcomes, strict=True):
            instances = expected.pop("instances", None)
            if instances is not None:
                assert_same_instances(ours.pop("instances"), instances)
            np.testing.assert_equal(as_lists(ours), as_lists(expected))


def as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_lists(item) for name, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def assert_same_instances(ours: dict[str, Any], expected: Instances) -> None:
    assert ours["identities"] == expected.identities.tolist()
    assert ours["labels"] == expected.labels.tolist()
    np.testing.assert_array_equal(ours["scores"], expected.scores)
    if len(expected):
        np.testing.assert_array_equal(ours["boxes"], expected.boxes)
        np.testing.assert_array_equal(ours["masks"].astype(bool), expected.masks)


def random_frame(rng: np.random.Generator, slots: int) -> tuple[Detections, np.ndarray]:
    """Detections among the learned queries and the filled track slots, some of equal score, some with empty masks."""
    count = int(rng.integers(0, 2 * NUM_QUERIES))
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        start, length = rng.integers(0, SIZE[1] - 6), rng.integers(0, 12)
        mask[rng.integers(0, 3) : rng.integers(9, 13), start : start + length] = True
    detections = Detections(
        query_indices=rng.integers(0, NUM_QUERIES + slots, count),
        rows=rng.permutation(count),
        labels=rng.integers(0, 3, count),
        scores=(rng.integers(0, 50, count) / 50).astype(np.float32),
        boxes=rng.integers(0, 40, (count, 4)).astype(np.float32),
        masks=masks,
    )
    return detections, rng.standard_normal((count, WIDTH)).astype(np.float32)


def random_video(seed: int) -> Recorder:
    rng = np.random.default_rng(seed)
    spec = TrackerSpec() if rng.random() < 0.5 else TrackerSpec(existing_iou=1.0, new_iou=0.6, max_age=3)
    recorder = Recorder(NUM_QUERIES, WIDTH, spec)
    frame_index = 0
    recorder.snapshot("last")
    for _ in range(int(rng.integers(4, 24))):
        slots = recorder.feed(int(rng.integers(0, 6)) if rng.random() < 0.5 else None)
        recorder.update(frame_index, *random_frame(rng, slots))
        frame_index += int(rng.integers(1, 4))
        act = rng.random()
        if act < 0.1:
            recorder.snapshot("last")
        elif act < 0.2:
            recorder.restore("last")
        elif act < 0.25:
            recorder.reset()
    return recorder


@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=10, max_size=20))
@settings(max_examples=5, deadline=None)
def test_random_videos(runtime: Runtime, seeds: list[int]) -> None:
    check(runtime, [random_video(seed) for seed in seeds])


def test_a_snapshot_between_feed_and_update_keeps_the_slots(runtime: Runtime) -> None:
    recorder = Recorder(NUM_QUERIES, WIDTH)
    rng = np.random.default_rng(3)
    recorder.feed()
    recorder.update(0, *random_frame(rng, 0))
    slots = recorder.feed()
    recorder.snapshot("fed")
    for _ in range(3):
        recorder.update(1, *random_frame(rng, slots))
        recorder.restore("fed")
    check(runtime, [recorder])


def test_an_empty_slot_is_refused(runtime: Runtime) -> None:
    recorder = Recorder(NUM_QUERIES, WIDTH)
    detections, features = random_frame(np.random.default_rng(1), 3)
    detections.query_indices[0], detections.scores[0] = NUM_QUERIES + 7, 0.9
    step = {"step": "update", "frame_index": 0, "detections": asdict(detections), "query_features": features}
    (result,) = runtime.run("tracker", [recorder.case | {"steps": [step]}])
    assert result["error"] == "UsageError"
    assert "track slot 7, but the last feed filled 0; call feed first" in result["message"]


@pytest.mark.golden
def test_the_golden_sequences(runtime: Runtime, vpp_golden: Path) -> None:
    for sequence in tracker_sequences(vpp_golden):
        follow_the_original(runtime, sequence)


def follow_the_original(runtime: Runtime, sequence: Sequence) -> None:
    recorder = Recorder(sequence.num_queries, sequence.query_width)
    for frame_index, frame in sequence.frames:
        if frame_index == 0:
            recorder.reset()
        recorder.feed()
        recorder.update(frame_index, detections_of(frame), frame["in_queries"])
    check(runtime, [recorder])

    (outcomes,) = runtime.run("tracker", [recorder.case])
    updates = [outcome for outcome in outcomes if "instances" in outcome]
    for (_, frame), ours in zip(sequence.frames, updates, strict=True):
        assert ours["confident"] == frame["filtered_index"].tolist()
        assert ours["instances"]["identities"] == frame["out_ids"].tolist()
        np.testing.assert_array_equal(ours["instances"]["scores"], frame["in_scores"][frame["out_index"]])
        assert ours["state"]["identities"] == frame["state_ids"].tolist()
        assert ours["state"]["last_seen"] == frame["state_last_frame"].tolist()
        np.testing.assert_array_equal(ours["state"]["features"], frame["state_feats"])


@pytest.mark.golden
def test_from_golden_logits_to_tracks(runtime: Runtime, vpp_golden: Path) -> None:
    for video in videos(vpp_golden):
        decode_and_track(runtime, video)


def decode_and_track(runtime: Runtime, video: Video) -> None:
    sizes, num_queries = video.sizes, video.num_queries
    recorder = Recorder(num_queries, video.query_width)
    for t, frame in enumerate(video.frames):
        filled = num_queries + recorder.feed()
        query_indices = np.arange(len(frame["cls"]), dtype=np.int32)
        candidates = {"class_logits": frame["cls"], "mask_logits": frame["mask"], "query_indices": query_indices}
        detections = decode_detections(
            **candidates,
            **dict(zip(("padded_size", "content_size", "original_size"), sizes, strict=True)),
            max_instances=filled,
            score_floor=recorder.tracker.score_floor(query_indices),
        )
        places = dict(zip(("padded", "content", "original"), sizes, strict=True))
        recorder.update(t, detections, frame["query"], candidates={**candidates, **places, "max_instances": filled})

    (outcomes,) = runtime.run("tracker", [recorder.case])
    updates = [outcome for outcome in outcomes if "instances" in outcome]
    for frame, ours in zip(video.frames, updates, strict=True):
        instances = ours["instances"]
        assert instances["identities"] == frame["trk_ids"].tolist()
        assert instances["labels"] == frame["trk_labels"].tolist()
        np.testing.assert_array_equal(instances["boxes"], frame["trk_boxes_xyxy"])
        np.testing.assert_allclose(instances["scores"], frame["trk_scores"], rtol=0, atol=1e-5)
        assert ours["state"]["identities"] == frame["state_ids"].tolist()
        np.testing.assert_array_equal(ours["state"]["features"], frame["state_feats"])
    for expected, ours in zip(recorder.expected, outcomes, strict=True):
        if "instances" in expected:
            np.testing.assert_array_equal(ours["instances"]["masks"].astype(bool), expected["instances"].masks)
            np.testing.assert_allclose(ours["instances"]["scores"], expected["instances"].scores, rtol=0, atol=1e-6)
