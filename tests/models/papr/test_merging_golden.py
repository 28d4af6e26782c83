"""PaPr followed by token merging against the original."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.papr import golden, networks
from vpp_deploy.models.papr import merging
from vpp_deploy.models.papr.model import PaprModel

pytestmark = pytest.mark.golden


@pytest.mark.parametrize(("folder", "case"), golden.described_cases("cases", "papr_tome*"))
def test_case(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = golden.family(folder)
    described = family.config["cases"][case]
    model = networks.vit(family.config["model"])
    model.load_state_dict(family.weights, strict=True)
    papr = PaprModel(model, None, described["z"], merge=described["r"])
    blocks = papr.base.model.blocks
    if described["r"]:
        assert list(blocks.schedule) == described["r_per_block"]
        model.load_state_dict(family.weights, strict=True)  # merging leaves parameter names alone
    inputs: list[torch.Tensor] = []
    norms = [block.norm1 for block in blocks]
    for block in blocks:  # a block's input is what its first norm gets
        block.norm1.register_forward_hook(lambda _, arguments, out: inputs.append(arguments[0]))
    merges: list[tuple[torch.Tensor, torch.Tensor]] = []
    real_merge = merging.merge

    def merge(tokens, size, metric, r, prefix):
        result = real_merge(tokens, size, metric, r, prefix)
        merges.append((metric, result[1]))
        return result

    monkeypatch.setattr(merging, "merge", merge)
    with torch.no_grad():
        output = papr(family.tensor("image"), family.tensor("prop_feat"))
    assert len(inputs) == len(norms)
    family.check_values(f"{case}/tokens_in", inputs[0])
    for i, tokens in enumerate(inputs[1:]):
        family.check_values(f"{case}/block{i}_out", tokens)
    merging_blocks = [i for i, r in enumerate(described["r_per_block"] or ()) if r]
    for i, (metric, size) in zip(merging_blocks, merges, strict=False):
        family.check_values(f"{case}/metric_block{i}", metric)
        family.check_values(f"{case}/block{i}_size", size)
    assert len(merges) >= len(merging_blocks)
    family.check_values(f"{case}/logits", output.logits)
