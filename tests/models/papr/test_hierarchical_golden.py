"""PaPr on ConvNeXt and Swin against the original: maps, foreground in order, block outputs, logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm.models.convnext
import timm.models.swin_transformer
import torch

from tests.models.papr import golden, networks
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.significance import mean_map

pytestmark = pytest.mark.golden
FAMILIES = ("convnext*", "swin*")


def build(family: golden.Family, case: str) -> PaprModel:
    is_swin = family.folder.name.startswith("swin")
    model = (networks.swin if is_swin else networks.convnext)(family.config["model"])
    library = timm.models.swin_transformer if is_swin else timm.models.convnext
    model.load_state_dict(library.checkpoint_filter_fn(dict(family.weights), model), strict=True)
    described = family.config["cases"][case]
    return PaprModel(model, None, described["z"], stages=described["mask_block"])


@pytest.mark.parametrize(("folder", "case"), golden.described_cases("cases", *FAMILIES))
def test_case(folder: Path, case: str) -> None:
    family = golden.family(folder)
    papr = build(family, case)
    seen: dict[str, torch.Tensor] = {}

    def note_blocks(model: torch.nn.Module, arguments: tuple) -> None:
        """Registered when the model starts, behind PaPr's own hooks, to see what the blocks finally give."""
        for stage, layer in enumerate(papr.base.layers):
            for i, block in enumerate(layer.blocks):
                name = f"{case}/stage{stage}/block{i}"
                block.register_forward_hook(
                    lambda _, arguments, out, name=name: seen.update({f"{name}_in": arguments[0], f"{name}_out": out})
                )

    papr.base.model.register_forward_pre_hook(note_blocks)
    with torch.no_grad():
        output = papr(family.tensor("image"), family.tensor("prop_feat"))
    family.check_values(f"{case}/logits", output.logits)
    compared = {name: tensor for name, tensor in seen.items() if name in family.arrays}
    family.check_values("base_mask", mean_map(family.tensor("prop_feat")))
    for name, tensor in compared.items():
        family.check_values(name, tensor.flatten(1, 2) if folder.name.startswith("swin") else tensor)
    if folder.name.startswith("convnext") and papr.keep < 1:
        background = seen[f"{case}/stage{papr.base.stages[0]}/block0_out"].flatten(2) == 0
        foreground = torch.zeros_like(background).scatter(
            2, output.kept[0].long()[:, None].expand(*background.shape[:2], -1), True
        )
        assert torch.equal(background, ~foreground)
    for stage, significance, kept in zip(papr.base.stages, output.significance, output.kept, strict=False):
        family.check_values(f"stage{stage}/psm", significance)
        family.check_positions(f"{case}/stage{stage}/idx_fg", kept)
    assert len(output.kept) == (0 if papr.keep == 1 else len(papr.base.stages))
