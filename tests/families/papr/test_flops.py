"""The papers' GFLOPs, on the meta device."""

from __future__ import annotations

import pytest
import torch
from transformers.models.videomae import modeling_videomae

from tests.families.papr.random_models import small_vit
from vpp_deploy.families.papr.catalogue import base_model, lookup
from vpp_deploy.families.papr.flops import StageTokens, count_flops
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.proposals import proposal

PAPER = [
    # name, keep ratio, dense GFLOPs, pruned GFLOPs
    ("vit_small_patch16_224", 0.45, 4.61, 2.29),
    ("vit_base_patch16_224", 0.5, 17.59, 8.98),
    ("vit_large_patch16_224", 0.5, 61.61, 30.83),
    ("mae_vit_huge_patch14_224", 0.5, 167.4, 83.04),
    ("vit_medium_patch16_gap_256", 0.5, 10.58, 5.5),
    ("convnext_base", 0.65, 15.38, 10.42),
    ("convnext_large", 0.65, 34.4, 22.9),
    ("swin_base_patch4_window7_224", 0.65, 15.47, 12.25),
    ("swin_large_patch4_window7_224", 0.65, 34.53, 26.96),
]


@pytest.fixture(scope="module")
def mobileone():
    with torch.device("meta"):
        return proposal("mobileone_s0")


@pytest.mark.parametrize(("name", "keep", "dense", "pruned"), PAPER)
def test_images(name, keep, dense, pruned, mobileone):
    side = 256 if "256" in name else 224
    with torch.device("meta"):
        model = PaprModel(base_model(lookup(name)), mobileone, keep)
    report = count_flops(model, (3, side, side))
    assert report.dense / 1e9 == pytest.approx(dense, rel=0.01)
    assert report.pruned / 1e9 == pytest.approx(pruned, rel=0.01)
    assert report.proposal < report.pruned < report.dense
    assert report.stages[0].kept == int(
        keep * (report.stages[0].total + (1 if "vit" in name and "gap" not in name else 0))
    )


@pytest.mark.parametrize(
    ("name", "keep", "dense", "pruned"),
    [("videomae_base", 0.45, 180, 76), ("videomae_large", 0.3, 598, 160)],
)
def test_clips(name, keep, dense, pruned, monkeypatch):
    """One view, X3D-M included."""
    no_positions = lambda count, width: torch.zeros(1, count, width)  # noqa: E731  (transformers takes seconds for them)
    monkeypatch.setattr(modeling_videomae, "get_sinusoid_encoding_table", no_positions)
    with torch.device("meta"):
        model = PaprModel(base_model(lookup(name)), proposal("x3d_m"), keep)
    report = count_flops(model, (3, 16, 224, 224))
    assert report.dense / 1e9 == pytest.approx(dense, rel=0.01)
    assert report.pruned / 1e9 == pytest.approx(pruned, rel=0.01)


def test_counts_by_hand():
    """Patch embedding, four projections, two products of attention, MLP, head; nothing else."""

    def vit(tokens: int) -> int:
        width = 32
        block = tokens * 12 * width * width + 2 * tokens * tokens * width
        return 16 * 768 * width + 4 * block + 5 * width

    model = PaprModel(small_vit(), torch.nn.Conv2d(3, 8, 16, 16), 0.5)
    report = count_flops(model, (3, 64, 64))
    assert report.dense == vit(17)
    assert report.proposal == 16 * 768 * 8
    assert report.pruned == vit(9) + report.proposal
    assert report.stages == (StageTokens(16, 8),)
    assert model.base.keep == 0.5


def test_merging_saves_more_than_pruning():
    plain, merging = (PaprModel(small_vit(), torch.nn.Conv2d(3, 8, 16, 16), 0.5, merge=r) for r in (0, 2))
    pruned, merged = count_flops(plain, (3, 64, 64)), count_flops(merging, (3, 64, 64))
    assert merged.dense == pruned.dense
    assert merged.pruned < pruned.pruned
    assert merging.base.model.blocks.schedule == (0, 0, 2, 2)


def test_nothing_pruned_costs_no_proposal():
    report = count_flops(PaprModel(small_vit(), torch.nn.Conv2d(3, 8, 16, 16), 1.0), (3, 64, 64))
    assert report.pruned == report.dense
    assert report.proposal == 0
    assert report.stages == ()
