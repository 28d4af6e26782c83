"""Proposals from checkpoints that were fine-tuned for other classes: the features are held to, the head is not used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import vpp_deploy
from tests.families.papr.random_models import lively
from tests.families.papr.tiny import pixels, tiny_models
from vpp_deploy.errors import CheckpointError
from vpp_deploy.families.papr.names import IMAGE_PROPOSALS
from vpp_deploy.families.papr.proposals import fused, proposal
from vpp_deploy.families.papr.reference import PaprTorchEngine
from vpp_deploy.families.papr.weights import load_proposal

CLASSES = 7
IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
Tensors = dict[str, Tensor]


@cache
def trained(name: str, classes: int = CLASSES) -> nn.Module:
    """timm's own model, as somebody fine-tuned it. Shared: do not change it."""
    return lively(timm.create_model(name, num_classes=classes))


def saved(tensors: Tensors, folder: Path) -> Path:
    path = folder / "trained.pth"
    torch.save({"state_dict": tensors}, path)
    return path


def authors_names(tensors: Tensors) -> Tensors:
    """A MobileOne under the names that its authors write."""
    renamed = {}
    for name, tensor in tensors.items():
        new = name.replace("stem.", "stage0.").replace("head.fc.", "linear.")
        if new.startswith("stages."):
            _, number, rest = new.split(".", 2)
            new = f"stage{int(number) + 1}.{rest}"
        for ours, theirs in (("conv_kxk", "rbr_conv"), ("conv_scale", "rbr_scale"), ("identity", "rbr_skip")):
            new = new.replace(ours, theirs)
        renamed[new] = tensor
    return renamed


@torch.no_grad()
def check_features(loaded: nn.Module, network: nn.Module) -> None:
    """Up to what fusing branches rounds."""
    expected = network.forward_features(IMAGE)  # type: ignore[operator]
    torch.testing.assert_close(loaded(IMAGE), expected, rtol=0, atol=float(1e-3 * expected.abs().max()))
    assert expected.std() > 0


def without(*starts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)}


@pytest.mark.parametrize(("name", "classes"), [("mobileone_s0", CLASSES), ("resnet18", CLASSES), ("resnet18", 0)])
def test_features_are_those_of_the_trained_network_whatever_its_classes(
    name: str, classes: int, tmp_path: Path
) -> None:
    network = trained(name, classes)
    loaded = load_proposal(name, saved(network.state_dict(), tmp_path))
    check_features(loaded, network)
    assert not {key for key in loaded.state_dict() if key.startswith(("network.head", "network.fc"))}


def test_mobileone_in_its_authors_names(tmp_path: Path) -> None:
    network = trained("mobileone_s0")
    tensors = authors_names(fused(network).state_dict())  # with branches: `test_mobileone_golden`
    assert tensors["linear.weight"].shape == (CLASSES, 1024)
    check_features(load_proposal("mobileone_s0", saved(tensors, tmp_path)), network)


@pytest.mark.parametrize("head", [{}, {"blocks.5.proj.weight": torch.ones(7, 8), "blocks.5.proj.bias": torch.ones(7)}])
@pytest.mark.parametrize("name", ["x3d_s", "slowonly_r50"])
def test_clip_proposals(name: str, head: Tensors, tmp_path: Path) -> None:
    network = lively(proposal(name)).network.state_dict()
    loaded = load_proposal(name, saved({**network, **head}, tmp_path))
    assert all(torch.equal(tensor, network[key]) for key, tensor in loaded.network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mobileone_s0", without("stages.0.0.conv_kxk.0.conv.weight"), r"1 missing: stages\.0\.0\.conv_kxk\.0\.conv"),
        ("mobileone_s0", lambda found: {**found, "fc.weight": torch.ones(7, 1024)}, r"1 unexpected: fc\.weight"),
        ("resnet18", without("layer4.1.bn2.weight"), r"1 missing: layer4\.1\.bn2\.weight"),
        ("resnet18", lambda found: {**found, "head.fc.weight": torch.ones(7, 512)}, r"1 unexpected: head\.fc\.weight"),
        (
            "resnet18",
            lambda found: {**found, "conv1.weight": torch.ones(64, 1, 7, 7)},
            r"conv1\.weight \[64, 1, 7, 7\]",
        ),
        ("x3d_s", without("blocks.5.pool.pre_conv"), r"1 missing: blocks\.5\.pool\.pre_conv\.weight"),
        ("x3d_s", lambda found: {**found, "fc.weight": torch.ones(7, 8)}, r"1 unexpected: fc\.weight"),
    ],
)
def test_everything_that_is_used_must_fit(
    name: str, change: Callable[[Tensors], Tensors], message: str, tmp_path: Path
) -> None:
    tensors = (proposal(name).network if name == "x3d_s" else trained(name)).state_dict()
    path = saved(change(tensors), tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_proposal(name, path)


def test_a_proposal_of_other_classes_is_exported_without_its_head(tmp_path: Path) -> None:
    base, tuned = tmp_path / "base.pth", tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(trained("resnet18").state_dict(), tuned)
    with tiny_models():
        from vpp_deploy.families.papr.catalogue import base_model, lookup

        torch.save(lively(base_model(lookup("tiny_vit"))).state_dict(), base)
        bundle = vpp_deploy.export(
            vpp_deploy.PaprConfig("tiny_vit", 0.5, proposal="resnet18"),
            out=tmp_path / "tuned.bundle",
            checkpoint=base,
            proposal_checkpoint=tuned,
        )
        stored = safetensors.torch.load_file(bundle.weights_path)
        given = safetensors.torch.load_file(tuned)
        names = {key.removeprefix("proposal.network.") for key in stored if key.startswith("proposal.")}
        assert names == {name for name in given if not name.startswith("fc.")}
        assert all(torch.equal(stored[f"proposal.network.{name}"], given[name]) for name in names)
        check_that_a_bundle_with_a_head_still_opens(bundle, tmp_path)


def check_that_a_bundle_with_a_head_still_opens(bundle: vpp_deploy.Bundle, folder: Path) -> None:
    """As earlier versions wrote it."""
    inputs = pixels(bundle)
    expected = PaprTorchEngine(bundle).open_stream().run(inputs)
    older = vpp_deploy.Bundle(Path(shutil.copytree(bundle.path, folder / "older.bundle")), bundle.manifest)
    stored = safetensors.torch.load_file(older.weights_path)
    head = {"proposal.network.fc.weight": torch.ones(1000, 512), "proposal.network.fc.bias": torch.ones(1000)}
    safetensors.torch.save_file({**stored, **head}, older.weights_path)
    given = PaprTorchEngine(older).open_stream().run(inputs)
    assert all(np.array_equal(given[name], array) for name, array in expected.items())


def test_every_image_proposal_has_a_rule_for_its_head() -> None:
    for name in IMAGE_PROPOSALS:
        with torch.device("meta"):
            whole, used = timm.create_model(name, num_classes=CLASSES), proposal(name)
        classifier = whole.pretrained_cfg["classifier"]
        head = [key for key in whole.state_dict() if key.startswith(f"{classifier}.")]
        assert len(head) == 2
        assert not any(key.startswith(f"network.{classifier}") for key in used.state_dict())
