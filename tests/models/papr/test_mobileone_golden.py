"""MobileOne's features from the authors' fused and unfused weights, and PaPr end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.models.papr import golden, networks
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.proposals import ImageProposal
from vpp_deploy.models.papr.weights import load_mobileone

pytestmark = pytest.mark.golden
LAYOUTS = ("fused", "unfused")


def proposal(family: golden.Family, layout: str) -> ImageProposal:
    network, tensors = networks.mobileone(family.config["mobileone"]), part(family, f"mobileone_{layout}")
    return ImageProposal(load_mobileone(network, tensors, family.folder))


def part(family: golden.Family, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{prefix}."): v for name, v in family.weights.items() if name.startswith(f"{prefix}.")}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("folder", golden.families("mobileone*"))
def test_features(folder: Path, layout: str) -> None:
    family = golden.family(folder)
    network = proposal(family, layout).network
    seen: dict[str, torch.Tensor] = {}
    for i, stage in enumerate([network.stem, *network.stages]):
        stage.register_forward_hook(lambda _, a, out, i=i: seen.update({f"mobileone/stage{i}_out": out}))
    with torch.no_grad():
        logits = network(family.tensor("image"))
        features = ImageProposal(network)(family.tensor("image"))
    for name, tensor in {**seen, "mobileone/logits": logits, "mobileone/stage4_out": features}.items():
        family.check_values(name, tensor, golden.FEATURES_ATOL)
    assert features.min() >= 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("folder", "case"), golden.described_cases("cases", "mobileone*"))
def test_end_to_end(folder: Path, case: str, layout: str) -> None:
    family = golden.family(folder)
    model = networks.vit(family.config["model"])
    model.load_state_dict(part(family, "vit"), strict=True)
    papr = PaprModel(model, proposal(family, layout), family.config["cases"][case]["z"])
    with torch.no_grad():
        output = papr(family.tensor("image"))
    family.check_values("psm", output.significance[0])
    family.check_positions(f"{case}/kept_idx", F.pad(output.kept[0] + 1, (1, 0)))
    family.check_values(f"{case}/logits", output.logits)
