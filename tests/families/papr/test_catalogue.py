"""Names, sizes and weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from tests.families.papr.random_models import features, lively, small_convnext, small_vit
from vpp_deploy.errors import CheckpointError, ExportError
from vpp_deploy.families.papr import catalogue
from vpp_deploy.families.papr.catalogue import check_size, lookup, papr_model
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.names import CATALOGUE
from vpp_deploy.families.papr.proposals import proposal
from vpp_deploy.families.papr.weights import load_base, load_proposal


def test_names():
    name = "vit_base_patch16_224.augreg_in21k_ft_in1k"
    assert lookup(f"papr:{name}") is lookup(name) is CATALOGUE[name]
    assert lookup("papr:vit_tiny_patch16_224").model == "vit_tiny_patch16_224"
    assert all(lookup(f"papr:{entry}").name == entry for entry in CATALOGUE)
    assert {entry.proposal for entry in CATALOGUE.values()} == {"mobileone_s0", "x3d_m"}


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("papr:vit_base_patch16_225", "papr:vit_base_patch16_224"),
        ("papr:vidomae_large", "papr:videomae_large"),
        ("papr:convnext_base.fb_in1q", "papr:convnext_base.fb_in1k"),
    ],
)
def test_typos_get_the_nearest_names(typo, meant):
    with pytest.raises(ExportError, match=re.escape(meant)):
        lookup(typo)


def test_every_entry_exists_and_can_be_pruned():
    for entry in CATALOGUE.values():
        if entry.published and not entry.clips:
            assert timm.models.is_model_pretrained(entry.model), entry.model


def test_a_model_by_name():
    model = papr_model(PaprConfig("papr:vit_tiny_patch16_224", 0.5, size=(64, 96)), weights=0, proposal_weights=0)
    with torch.no_grad():
        output = model(torch.randn(1, 3, 64, 96))
    assert output.kept[0].shape == (1, 12)
    assert output.logits.std() > 0
    assert output.significance[0].std() > 0


@pytest.mark.parametrize(
    ("name", "size", "advice"),
    [
        ("vit_tiny_patch16_224", (225, 224), "use 240x224"),
        ("convnext_atto", (0, 100), "use 32x128"),
        ("swin_tiny_patch4_window7_224", (224, 200), "use 224x224"),
        ("vit_tiny_r_s16_p8_224", (232, 240), "takes multiples of 32x32; use 256x256"),  # its ConvNet strides too
        ("vit_small_resnet50d_s16_224", (224, 232), "takes multiples of 16x16; use 224x240"),
    ],
)
def test_sizes_that_do_not_fit(name, size, advice):
    with pytest.raises(ExportError, match=advice):
        papr_model(PaprConfig(name, 0.5, size=size), weights=0, proposal_weights=0)


def test_a_proposal_of_the_wrong_kind():
    with pytest.raises(ExportError, match="x3d_s does not fit vit_tiny_patch16_224, which classifies images"):
        papr_model(PaprConfig("vit_tiny_patch16_224", 0.5, proposal="x3d_s"), weights=0)


def test_weights_that_are_nowhere_published():
    with pytest.raises(CheckpointError, match="authors' checkpoint file"):
        papr_model(PaprConfig("mae_vit_base_patch16_224", 1.0))


def test_a_clip_proposal_is_nowhere_published():
    clips = replace(lookup("vit_tiny_patch16_224"), clips=True)
    with pytest.raises(CheckpointError, match=r"proposal x3d_s are not published by name; .* PyTorchVideo"):
        catalogue.published_proposal(catalogue.fitting_proposal(clips, "x3d_s"))


def test_videomae_takes_rectangles():
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    entry = replace(lookup("videomae_base"), arguments=small)
    with torch.device("meta"):
        model = catalogue.base_model(entry, (160, 224))
        check_size(entry, model, (160, 224))
        output = PaprModel(model, None, 0.5)(torch.empty(1, 3, 16, 160, 224), torch.empty(1, 4, 16, 5, 7))
    assert output.kept[0].shape == (1, 8 * 10 * 14 // 2)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_checkpoint_wrappers(tmp_path: Path, wrapper):
    trained = small_vit(global_pool="avg", fc_norm=True)
    state = trained.state_dict()
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "mae.pth")
    loaded = load_base(lively(small_vit(global_pool="avg", fc_norm=True), seed=5), tmp_path / "mae.pth")
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_checkpoints_of_another_model(tmp_path: Path):
    safetensors.torch.save_file(small_vit(num_classes=7).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit VisionTransformer: 2 of the wrong shape: head\.bias"):
        load_base(small_vit(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="does not fit ConvNeXt"):
        load_base(small_convnext(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        load_base(small_vit(), tmp_path / "none.pth")


def test_x3d_checkpoints_lose_their_head(tmp_path: Path):
    made = lively(proposal("x3d_s"))
    state = {**made.network.state_dict(), "blocks.5.proj.weight": torch.ones(400, 2048)}
    state["blocks.5.pool.post_conv.weight"] = torch.ones(2048, 432, 1, 1, 1)
    torch.save({"model_state": state}, tmp_path / "X3D_S.pyth")
    loaded = load_proposal("x3d_s", tmp_path / "X3D_S.pyth")
    assert all(torch.equal(v, state[name]) for name, v in loaded.network.state_dict().items())


def test_random_weights_depend_on_the_seed_alone():
    assert torch.equal(lively(small_vit(), 3).head.weight, lively(small_vit(), 3).head.weight)
    assert not torch.equal(lively(small_vit(), 3).head.weight, lively(small_vit(), 4).head.weight)
    assert features(1).shape == (1, 8, 3, 4)
