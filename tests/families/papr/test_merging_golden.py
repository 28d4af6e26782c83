"""PaPr followed by token merging against the original."""

from __future__ import annotations

import pytest
import torch

from tests.families.papr import networks
from tests.families.papr.golden import ATOL, pruned_cases
from tests.golden_data import Model
from vpp_deploy.families.papr import merging
from vpp_deploy.families.papr.model import PaprModel

pytestmark = pytest.mark.golden


@pytest.mark.parametrize(("golden", "case"), pruned_cases("papr_tome*"))
def test_case(golden: Model, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described = golden.config["cases"][case]
    model = networks.vit(golden.config["model"])
    model.load_state_dict(golden.weights, strict=True)
    papr = PaprModel(model, None, described["z"], merge=described["r"])
    blocks = papr.base.model.blocks
    if described["r"]:
        assert list(blocks.schedule) == described["r_per_block"]
        model.load_state_dict(golden.weights, strict=True)  # merging leaves parameter names alone
    inputs: list[torch.Tensor] = []
    norms = [block.norm1 for block in blocks]
    for block in blocks:  # a block's input is what its first norm gets
        block.norm1.register_forward_hook(lambda _, arguments, out: inputs.append(arguments[0]))
    merges: list[tuple[torch.Tensor, torch.Tensor]] = []
    real_merge = merging.merge

    def merge(
        tokens: torch.Tensor, size: torch.Tensor | None, metric: torch.Tensor, r: int, prefix: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        result = real_merge(tokens, size, metric, r, prefix)
        merges.append((metric, result[1]))
        return result

    monkeypatch.setattr(merging, "merge", merge)
    with torch.no_grad():
        output = papr(golden.tensor("image"), golden.tensor("prop_feat"))
    assert len(inputs) == len(norms)
    golden.check_values(f"{case}/tokens_in", inputs[0], ATOL)
    for i, tokens in enumerate(inputs[1:]):
        golden.check_values(f"{case}/block{i}_out", tokens, ATOL)
    merging_blocks = [i for i, r in enumerate(described["r_per_block"] or ()) if r]
    for i, (metric, size) in zip(merging_blocks, merges, strict=False):
        golden.check_values(f"{case}/metric_block{i}", metric, ATOL)
        golden.check_values(f"{case}/block{i}_size", size, ATOL)
    assert len(merges) >= len(merging_blocks)
    golden.check_values(f"{case}/logits", output.logits, ATOL)
