"""PaPr on ConvNeXt and Swin against the original: maps, foreground in order, block outputs, logits."""

from __future__ import annotations

from typing import Any

import pytest
import timm.models.convnext
import timm.models.swin_transformer
import torch

from tests.families.papr import networks
from tests.families.papr.golden import ATOL, pruned_cases
from tests.golden_data import Model, check_choice
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.significance import mean_map

pytestmark = pytest.mark.golden


def is_swin(golden: Model) -> bool:
    return golden.folder.name.startswith("swin")


def build(golden: Model, case: str) -> PaprModel:
    model = (networks.swin if is_swin(golden) else networks.convnext)(golden.config["model"])
    library = timm.models.swin_transformer if is_swin(golden) else timm.models.convnext
    model.load_state_dict(library.checkpoint_filter_fn(dict(golden.weights), model), strict=True)
    described = golden.config["cases"][case]
    return PaprModel(model, None, described["z"], stages=described["mask_block"])


@pytest.mark.parametrize(("golden", "case"), pruned_cases("convnext*", "swin*"))
def test_case(golden: Model, case: str) -> None:
    papr = build(golden, case)
    seen: dict[str, torch.Tensor] = {}

    def note_blocks(model: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        """Registered when the model starts, behind PaPr's own hooks, to see what the blocks finally give."""
        for stage, layer in enumerate(papr.base.layers):
            for i, block in enumerate(layer.blocks):
                name = f"{case}/stage{stage}/block{i}"
                block.register_forward_hook(
                    lambda _, arguments, out, name=name: seen.update({f"{name}_in": arguments[0], f"{name}_out": out})
                )

    papr.base.model.register_forward_pre_hook(note_blocks)
    with torch.no_grad():
        output = papr(golden.tensor("image"), golden.tensor("prop_feat"))
    golden.check_values(f"{case}/logits", output.logits, ATOL)
    golden.check_values("base_mask", mean_map(golden.tensor("prop_feat")), ATOL)
    for name, tensor in seen.items():
        golden.check_values(name, tensor.flatten(1, 2) if is_swin(golden) else tensor, ATOL)
    if not is_swin(golden) and papr.keep < 1:
        background = seen[f"{case}/stage{papr.base.stages[0]}/block0_out"].flatten(2) == 0
        foreground = torch.zeros_like(background).scatter(
            2, output.kept[0].long()[:, None].expand(*background.shape[:2], -1), True
        )
        assert torch.equal(background, ~foreground)
    for stage, significance, kept in zip(papr.base.stages, output.significance, output.kept, strict=False):
        golden.check_values(f"stage{stage}/psm", significance, ATOL)
        name = f"{case}/stage{stage}/idx_fg"
        check_choice(kept.numpy(), golden.arrays[name], significance.flatten(1).numpy(), name)
    assert len(output.kept) == (0 if papr.keep == 1 else len(papr.base.stages))
