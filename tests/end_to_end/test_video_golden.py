"""A whole video against the original: detector, post-processing and tracker, in PyTorch and from an exported bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import vpp_deploy
from tests.families.vpp import golden
from tests.golden_data import Arrays, read_arrays, read_weights
from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.families.vpp.checkpoint import PREFIX
from vpp_deploy.families.vpp.config import IMAGE_MEAN, IMAGE_STD, DetectorConfig
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.segmentation.results import Instances
from vpp_deploy.tasks.segmentation.tracking.detections import Detections, decode_detections
from vpp_deploy.tasks.segmentation.tracking.tracker import QueryTracker

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def config(vpp_golden: Path) -> Iterator[DetectorConfig]:
    """The golden detector, with a label set of as many classes as its head has."""
    backbone, keep = golden.micro_backbone(vpp_golden)
    _, classes, head = golden.head(vpp_golden, "head_micro")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "golden", tuple(f"class {number}" for number in range(classes)))
        yield DetectorConfig("vpp-micro", backbone, head, "golden", keep)


@pytest.fixture(scope="module")
def checkpoint(vpp_golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = {}
    for part, file in (("backbone", "backbone_micro"), ("panoptic_head", "head_micro")):
        loaded = read_weights(vpp_golden / f"{file}.safetensors")
        tensors |= {f"{PREFIX}{part}.{name}": tensor for name, tensor in loaded.items()}
    path = tmp_path_factory.mktemp("golden") / "micro.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


def frames(folder: Path) -> Iterator[Frame]:
    """The golden clip as the reader would give it: RGB, padded, with the geometry of the original frames."""
    described = golden.config(folder)["head"]["e2e"]
    (height, width), content = described["padded_hw"], tuple(described["content_hw"])
    for index, bgr in enumerate(read_arrays(folder / "e2e_micro_thr.npz")["frames_bgr_u8"]):
        image = np.full((height, width, 3), 99, np.uint8)  # padding of any value
        image[: content[0], : content[1]] = bgr[..., ::-1]
        yield Frame(image, content, np.zeros((*described["ori_shape"], 3), np.uint8), index)


def check_tracks(instances: Instances, want: Arrays, t: int) -> None:
    assert instances.identities.tolist() == want[f"f{t}_trk_ids"].tolist()
    assert instances.labels.tolist() == want[f"f{t}_trk_labels"].tolist()
    np.testing.assert_allclose(instances.scores, want[f"f{t}_trk_scores"], atol=golden.ATOL)
    different = (instances.masks != want[f"f{t}_trk_masks"]).mean(axis=(1, 2))
    assert (different < 1e-3).all()  # pixels whose logit is 0 up to rounding may go either way
    if not different.any():
        np.testing.assert_array_equal(instances.boxes, want[f"f{t}_trk_boxes_xyxy"])


@pytest.mark.parametrize("prefix", golden.MODES)
def test_pytorch_with_any_number_of_tracks(
    vpp_golden: Path, config: DetectorConfig, checkpoint: Path, prefix: str
) -> None:
    want = read_arrays(vpp_golden / f"e2e_micro_{prefix}.npz")
    detector = VppDetector(config).eval().requires_grad_(False)
    tensors = safetensors.torch.load_file(checkpoint)
    detector.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, strict=True)
    tracker = QueryTracker(TrackerSpec(), config.head.queries, config.head.width)
    state = None
    for t, frame in enumerate(frames(vpp_golden)):
        feed = tracker.feed()
        assert len(feed.identities) == want[f"f{t}_n_track_queries"]
        output = detector(normalised(frame), state, torch.from_numpy(feed.features)[None], mode=golden.MODES[prefix])
        state, head = output.state, detector.panoptic_head
        logits = head.class_logits(output.queries)[0].numpy()
        masks = head.mask_logits(output.queries, output.head.mask_features)[0].numpy()
        np.testing.assert_allclose(logits, want[f"f{t}_cls"], atol=golden.ATOL)
        np.testing.assert_allclose(masks, want[f"f{t}_mask"], atol=golden.ATOL)
        np.testing.assert_allclose(output.queries[0], want[f"f{t}_query"], atol=golden.ATOL)
        kept = [len(selection.positions[0]) for selection in output.backbone.selections]
        blocks = golden.pruned_blocks(vpp_golden)
        assert kept[-len(blocks) :] == [want["kept"][t][block] for block in blocks]
        instances = tracker.update(t, detections(frame, logits, masks), output.queries[0].numpy())
        check_tracks(instances, want, t)
        memory = tracker.snapshot()
        assert memory.identities.tolist() == want[f"f{t}_state_ids"].tolist()
        np.testing.assert_allclose(memory.features, want[f"f{t}_state_feats"], atol=golden.ATOL)


def test_exported_engine_with_fixed_slots(
    vpp_golden: Path, config: DetectorConfig, checkpoint: Path, tmp_path: Path
) -> None:
    """Checkpoint to bundle to ONNX Runtime to tracks: the deployed path equals the original code."""
    clip = list(frames(vpp_golden))
    size = clip[0].image.shape[:2]
    bundle = vpp_deploy.export(config, checkpoint=checkpoint, size=size, out=tmp_path / "golden.bundle")
    want = read_arrays(vpp_golden / "e2e_micro_stk.npz")
    blocks = golden.pruned_blocks(vpp_golden)
    for engine in (vpp_deploy.build_engine(bundle), vpp_deploy.open_reference(bundle)):
        with vpp_deploy.VideoSession(engine) as session:
            for t, frame in enumerate(clip):
                result = session(frame)
                check_tracks(result.instances, want, t)
                assert (result.candidates_dropped, result.tracks_not_fed) == (0, 0)
                kept = [len(positions) for positions in result.kept.values()]
                assert kept[-len(blocks) :] == [want["kept"][t][block] for block in blocks]


def normalised(frame: Frame) -> torch.Tensor:
    image = (frame.image.astype(np.float32) - np.float32(IMAGE_MEAN)) / np.float32(IMAGE_STD)
    image[frame.content_size[0] :] = 0
    image[:, frame.content_size[1] :] = 0
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def detections(frame: Frame, logits: np.ndarray, masks: np.ndarray) -> Detections:
    return decode_detections(
        logits,
        masks,
        np.arange(len(logits)),
        padded_size=frame.image.shape[:2],
        content_size=frame.content_size,
        original_size=frame.original_size,
        max_instances=len(logits),
    )
