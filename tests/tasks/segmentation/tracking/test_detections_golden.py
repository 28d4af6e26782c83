"""From the original's logits to its detections (`head_micro.npz`) and on to its tracks (`e2e_micro_*.npz`)."""

from pathlib import Path

import numpy as np
import pytest

from tests.golden_data import part, read_arrays
from tests.tasks.segmentation.tracking.golden import Arrays, Video, head_config, videos
from tests.tasks.segmentation.tracking.reference import assert_masks_follow, two_step_logits
from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.tasks.segmentation.tracking.detections import Detections, decode_detections
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("run", ["plain", "track"])
def test_post_processing_finds_the_original_instances(vpp_golden: Path, run: str) -> None:
    post = part(head_config(vpp_golden), "head_micro", "head")["post"]
    arrays = read_arrays(vpp_golden / "head_micro.npz")
    class_logits, mask_logits = part(arrays, f"{run}_cls_all", "array")[-1], arrays[f"{run}_mask_all"][-1]
    expected = {name: arrays[f"{run}_post_{name}"] for name in ("query_ids", "labels", "scores", "boxes_xyxy", "masks")}
    sizes = tuple(post["batch_input_shape"]), tuple(post["img_shape"]), tuple(post["ori_shape"])
    detections = decode_detections(
        class_logits,
        mask_logits,
        np.arange(len(class_logits), dtype=np.int32),
        padded_size=sizes[0],
        content_size=sizes[1],
        original_size=sizes[2],
        max_instances=len(class_logits),
    )
    # The original's order is that of an unsorted top-k, so it means nothing: compare pair by pair.
    ours = detections.take(np.lexsort((detections.labels, detections.query_indices)))
    pairs = np.lexsort((expected["labels"], expected["query_ids"]))
    np.testing.assert_array_equal(ours.query_indices, expected["query_ids"][pairs])
    np.testing.assert_array_equal(ours.labels, expected["labels"][pairs])
    assert_masks_follow(ours.masks, expected["masks"][pairs], two_step_logits(mask_logits, *sizes)[ours.query_indices])
    np.testing.assert_array_equal(ours.boxes, expected["boxes_xyxy"][pairs])
    np.testing.assert_allclose(ours.scores, expected["scores"][pairs], rtol=0, atol=1e-5)


@pytest.mark.parametrize("with_floor", [False, True])
def test_logits_lead_to_the_original_tracks(vpp_golden: Path, with_floor: bool) -> None:
    for video in videos(vpp_golden):
        follow(video, with_floor)


def follow(video: Video, with_floor: bool) -> None:
    sizes, num_queries = video.sizes, video.num_queries
    tracker = QueryTracker(TrackerSpec(), num_queries, video.query_width)
    for t, frame in enumerate(video.frames):
        feed = tracker.feed()
        assert len(feed.features) == frame["n_track_queries"]
        if len(feed.features):
            np.testing.assert_array_equal(feed.features, frame["track_queries_in"])

        query_indices = np.arange(len(frame["cls"]), dtype=np.int32)
        detections = decode_detections(
            frame["cls"],
            frame["mask"],
            query_indices,
            padded_size=sizes[0],
            content_size=sizes[1],
            original_size=sizes[2],
            max_instances=num_queries + len(feed.features),
            score_floor=tracker.score_floor(query_indices) if with_floor else None,
        )
        check_detections(detections.take(tracker.confident(detections)), frame)

        instances = tracker.update(t, detections, frame["query"])
        np.testing.assert_array_equal(instances.identities, frame["trk_ids"])
        np.testing.assert_array_equal(instances.labels, frame["trk_labels"])
        sources = query_of_each_track(detections, frame["trk_scores"])
        assert_masks_follow(instances.masks, frame["trk_masks"], two_step_logits(frame["mask"], *sizes)[sources])
        np.testing.assert_array_equal(instances.boxes, frame["trk_boxes_xyxy"])
        np.testing.assert_allclose(instances.scores, frame["trk_scores"], rtol=0, atol=1e-5)

        memory = tracker.snapshot()
        np.testing.assert_array_equal(memory.identities, frame["state_ids"])
        np.testing.assert_array_equal(memory.features, frame["state_feats"])
        np.testing.assert_array_equal(memory.learned_queries, frame["state_static_query_ids"])
        assert memory.next_identity == frame["state_num_tracks"]


def query_of_each_track(detections: Detections, scores: np.ndarray) -> np.ndarray:
    nearest = np.abs(detections.scores[None, :] - scores[:, None]).argmin(axis=1)
    return detections.query_indices[nearest]


def check_detections(ours: Detections, frame: Arrays) -> None:
    np.testing.assert_array_equal(ours.query_indices, frame["det_query_ids"])
    np.testing.assert_array_equal(ours.labels, frame["det_labels"])
    np.testing.assert_array_equal(ours.boxes, frame["det_boxes_xyxy"])
    np.testing.assert_allclose(ours.scores, frame["det_scores"], rtol=0, atol=1e-5)
