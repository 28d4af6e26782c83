from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="the training recipe needs scipy")

from examples.train_demo import train
from examples.train_demo.data import BACKGROUND, MIXED, Clips, ClipSet, Targets
from examples.train_demo.log import TrainingLog
from examples.train_demo.losses import Assignment, assign, association_loss, head_loss, selection_loss
from examples.train_demo.model import Tracks, TrainedDetector, next_tracks
from examples.train_demo.recipe import RECIPES
from examples.train_demo.selective import SoftSelection
from vpp_deploy.families.vpp.checkpoint import load_detector
from vpp_deploy.families.vpp.config import model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.random_weights import randomise_

CLASSES = 5


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"), ClipSet(clips=4, size=(64, 96)), workers=1)


@pytest.fixture
def pruned() -> TrainedDetector:
    model = TrainedDetector("0.55")
    randomise_(model.detector, seed=1)
    return model


def perfect_logits(targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of one query per object slot, in slot order."""
    masks = (targets.masks * 40 - 20).clone()
    labels = torch.where(targets.valid, targets.labels, CLASSES)
    return torch.nn.functional.one_hot(labels, CLASSES + 1).float() * 30, masks


def test_without_noise_training_computes_what_threshold_selection_computes(pruned: TrainedDetector) -> None:
    pruned.eval()
    reference = VppDetector(pruned.detector.config)
    reference.load_state_dict(pruned.detector.state_dict())
    reference.eval()
    frames = torch.randn(3, 1, 3, 192, 288, generator=torch.Generator().manual_seed(0))
    soft_state = state = None
    for frame in frames:
        with torch.no_grad():
            soft = pruned.detector.backbone.soft_forward(frame, soft_state)
            hard = reference.backbone(frame, state, mode="threshold")
        soft_state, state = soft.state, hard.state
        for ours, theirs in zip(soft.selections, hard.selections, strict=True):
            assert ours.decisions[0].nonzero()[:, 0].tolist() == theirs.positions[0].tolist()
        for ours, theirs in zip(soft.features, hard.features, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_task_alone_reaches_every_selection_module(pruned: TrainedDetector) -> None:
    backbone = pruned.detector.backbone
    frames = torch.randn(2, 2, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    first = backbone.soft_forward(frames[0], None)
    second = backbone.soft_forward(frames[1], first.state)
    sum(level.square().mean() for level in second.features).backward()
    unused = ("init_mlp", "norm_input")
    for name, parameter in backbone.named_parameters():
        if ("selective_modules" in name or "matching_module" in name) and not any(part in name for part in unused):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_batches_agree_with_themselves(clips: Clips) -> None:
    frames = clips.batch(np.random.default_rng(0), 3, 2, (64, 96), CLASSES)
    assert len(frames) == 2
    for images, targets in frames:
        assert images.shape == (3, 3, 64, 96)
        assert targets.masks.shape[2:] == targets.pixel_classes.shape[1:] == (16, 24)
        assert targets.coverage.shape == targets.patches.shape == (3, 4 * 6)
        assert ((targets.patches == BACKGROUND) == (targets.coverage == 0)).all()
        assert (targets.coverage[targets.patches >= 0] >= 0.5).all()
        assert (targets.masks.sum(1) <= 1 + 1e-6).all()
        assert not targets.masks[~targets.valid].any()
        inside = targets.pixel_classes[targets.pixel_classes < CLASSES]
        assert set(inside.tolist()) <= set(targets.labels[targets.valid].tolist())
    again = clips.batch(np.random.default_rng(0), 3, 2, (64, 96), CLASSES)
    torch.testing.assert_close(again[1].images, frames[1].images, atol=0, rtol=0)


def test_a_crop_is_shrunk_to_a_smaller_size(clips: Clips) -> None:
    (frame,) = clips.batch(np.random.default_rng(0), 2, 1, (32, 64), CLASSES)
    assert frame.images.shape == (2, 3, 32, 64)
    assert frame.targets.masks.shape[2:] == (8, 16)


def test_clips_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip_set = ClipSet(clips=1, frames=2, size=(64, 96))
    Clips(tmp_path, clip_set, workers=1)
    monkeypatch.setattr("examples.train_demo.data._render", lambda *_: pytest.fail("rendered again"))
    Clips(tmp_path, clip_set, workers=1)


def some_targets(clips: Clips) -> Targets:
    """Targets of one clip of 64x96 pixels with at least two objects."""
    rng = np.random.default_rng(3)
    while True:
        (frame,) = clips.batch(rng, 1, 1, (64, 96), CLASSES)
        if frame.targets.valid.sum() >= 2:
            return frame.targets


def test_matching_finds_each_object(clips: Clips) -> None:
    targets = some_targets(clips)
    classes, masks = perfect_logits(targets)
    order = torch.tensor([3, 1, 0, 2, 4, 5, 6, 7])
    none = torch.zeros(1, 0, dtype=torch.int64)
    objects = assign(classes[:, order], masks[:, order], targets, none, none.bool()).objects
    assert objects.tolist() == [[int(slot) if targets.valid[0, slot] else -1 for slot in order]]


def test_a_track_query_keeps_its_object_and_no_learned_query_gets_it(clips: Clips) -> None:
    targets = some_targets(clips)
    classes, masks = perfect_logits(targets)
    tracked = int(targets.valid[0].nonzero()[0])
    slots = torch.tensor([[tracked, -1, 7]])
    valid = torch.tensor([[True, True, False]])
    width = classes.shape[1]
    objects, counted = assign(
        torch.cat([classes, classes[:, :3]], 1), torch.cat([masks, masks[:, :3]], 1), targets, slots, valid
    )
    assert objects[0, width:].tolist() == [tracked, -1, -1]
    assert tracked not in objects[0, :width].tolist()
    assert counted[0, width:].tolist() == [True, True, False]


def test_perfect_predictions_cost_nothing_and_swapped_ones_do(clips: Clips) -> None:
    targets = some_targets(clips)
    targets = targets._replace(masks=(targets.masks > 0.5).float())
    classes, masks = perfect_logits(targets)
    slots = torch.where(targets.valid, torch.arange(targets.valid.shape[1]), -1)
    right = head_loss(classes, masks, targets, Assignment(slots, torch.ones_like(slots, dtype=torch.bool)))
    assert float(right.total) < 0.01
    assert right.accuracy == right.iou == 1
    wrong = head_loss(classes, -masks, targets, Assignment(slots, torch.ones_like(slots, dtype=torch.bool)))
    assert float(wrong.total) > 10


def test_selection_loss_wants_objects_kept_and_the_ratio_met() -> None:
    coverage = torch.tensor([[1.0, 1.0, 0.0, 0.0]])

    def loss(kept: list[float]) -> float:
        decisions = torch.tensor([kept])
        soft = decisions.clamp(0.05, 0.95).log()
        return float(selection_loss([SoftSelection(decisions, soft, 0.5)], coverage))

    assert loss([1.0, 1.0, 0.0, 0.0]) < loss([0.0, 0.0, 1.0, 1.0])
    assert loss([1.0, 1.0, 0.0, 0.0]) < loss([1.0, 1.0, 1.0, 1.0])
    assert loss([1.0, 1.0, 0.0, 0.0]) < loss([0.0, 0.0, 0.0, 0.0])


def test_association_wants_tokens_matched_with_what_they_show() -> None:
    patches = torch.tensor([[0, 0, BACKGROUND, MIXED]])
    previous = torch.tensor([[BACKGROUND, 0, 1, 0]])
    right, wrong = torch.zeros(2, 1, 4, 4)
    right[0, :2, 1] = right[0, 2, 0] = 1e4
    wrong[0, :, 2] = 1e4
    assert float(association_loss(right, patches, previous)) < 1e-3
    assert float(association_loss(wrong, patches, previous)) > 100
    mixed = wrong.clone()
    mixed[0, :3] = right[0, :3]
    assert float(association_loss(mixed, patches, previous)) < 1e-3


def test_association_leaves_out_what_was_not_there_before() -> None:
    patches, previous = torch.tensor([[0, BACKGROUND]]), torch.tensor([[1, BACKGROUND]])
    similarity = torch.tensor([[[0.0, 0.0], [-torch.inf, 0.0]]])
    assert float(association_loss(similarity, patches, previous)) == 0
    pruned = torch.tensor([[[0.0, -torch.inf], [0.0, -torch.inf]]])
    assert float(association_loss(pruned, patches, previous)) == 0


def test_track_queries_are_the_matched_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 6, 4, generator=generator)
    slots = torch.tensor([[2], [-1]])
    objects = torch.tensor([[-1, 0, -1, 1, -1, 2], [-1, -1, 3, -1, -1, -1]])
    counted = torch.ones_like(objects, dtype=torch.bool)
    counted[1, 5] = False
    before = Tracks(queries[:, :1], slots, torch.tensor([[True], [False]]))
    seen: set[tuple[int, int]] = set()
    for _ in range(30):
        tracks = next_tracks(queries, Assignment(objects, counted), before, generator)
        for row, slot in tracks.valid.nonzero().tolist():
            source = int((queries[row] == tracks.queries[row, slot]).all(-1).nonzero()[0])
            assert counted[row, source]
            assert int(tracks.slots[row, slot]) == int(objects[row, source])
            seen.add((row, int(tracks.slots[row, slot])))
    assert seen == {(0, 0), (0, 1), (0, 2), (0, -1), (1, 3), (1, -1)}


def test_it_learns(clips: Clips) -> None:
    torch.manual_seed(0)
    model = TrainedDetector("dense")
    frames = clips.batch(np.random.default_rng(0), 2, 2, (64, 96), model.classes)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        loss, _ = model(frames, dense=True, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.fixture
def torch_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def run_smoke(work: Path, clips: Path) -> None:
    train.main(work, recipe="smoke", device="cpu", clips=clips)


@pytest.mark.usefixtures("torch_settings")
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "clips"
    run_smoke(tmp_path / "whole", shared)

    monkeypatch.setattr(train, "SAVE_SECONDS", 0)
    step = train.Training._train_step

    def interrupted(self: train.Training) -> dict[str, float]:
        if (self.stage_number, self.step) == (1, 2):
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(train.Training, "_train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_smoke(tmp_path / "parts", shared)
    monkeypatch.setattr(train.Training, "_train_step", step)
    run_smoke(tmp_path / "parts", shared)

    for stage in RECIPES["smoke"].stages:
        name = f"{stage.name}.safetensors"
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "parts" / "losses.png").stat().st_size > 0
    rows = TrainingLog(tmp_path / "parts" / "losses.csv").rows
    assert rows == TrainingLog(tmp_path / "whole" / "losses.csv").rows == len(RECIPES["smoke"].stages)
    for keep in ("dense", "0.55"):
        load_detector(model_config("vpp-demo", keep), tmp_path / "whole" / "0.55.safetensors")
