"""MobileOne's features from the authors' fused and unfused weights, and PaPr end to end."""

from __future__ import annotations

import pytest
import torch

from tests.families.papr import networks
from tests.families.papr.golden import ATOL, FEATURES_ATOL, check_patches, pruned_cases
from tests.golden_data import PAPR, Model
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.proposals import ImageProposal
from vpp_deploy.families.papr.weights import load_mobileone

pytestmark = pytest.mark.golden
LAYOUTS = ("fused", "unfused")


def proposal(golden: Model, layout: str) -> ImageProposal:
    tensors = part(golden, f"mobileone_{layout}")
    classes = golden.config["arrays"]["mobileone/logits"]["shape"][1]
    network = networks.mobileone(golden.config["mobileone"], classes)
    return ImageProposal(load_mobileone(network, tensors, golden.folder))


def part(golden: Model, prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    found = {name.removeprefix(start): v for name, v in golden.weights.items() if name.startswith(start)}
    if not found:
        pytest.skip(f"the golden data have no {prefix} weights")
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("golden", PAPR.parameters("mobileone*"))
def test_features(golden: Model, layout: str) -> None:
    network = proposal(golden, layout).network
    seen: dict[str, torch.Tensor] = {}
    stages: list[torch.nn.Module] = [network.stem, *network.stages.children()]
    for i, stage in enumerate(stages):
        stage.register_forward_hook(lambda _, a, out, i=i: seen.update({f"mobileone/stage{i}_out": out}))
    with torch.no_grad():
        logits = network(golden.tensor("image"))
        features = ImageProposal(network)(golden.tensor("image"))
    last = f"mobileone/stage{len(stages) - 1}_out"
    for name, tensor in {**seen, "mobileone/logits": logits, last: features}.items():
        golden.check_values(name, tensor, FEATURES_ATOL)
    assert features.min() >= 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("golden", "case"), pruned_cases("mobileone*"))
def test_end_to_end(golden: Model, case: str, layout: str) -> None:
    model = networks.vit(golden.config["model"])
    model.load_state_dict(part(golden, "vit"), strict=True)
    papr = PaprModel(model, proposal(golden, layout), golden.config["cases"][case]["z"])
    with torch.no_grad():
        output = papr(golden.tensor("image"))
    significance, name = output.significance[0], f"{case}/kept_idx"
    golden.check_values("psm", significance, ATOL)
    check_patches(name, output.kept[0], golden.arrays[name], significance, model.num_prefix_tokens)
    golden.check_values(f"{case}/logits", output.logits, ATOL)
