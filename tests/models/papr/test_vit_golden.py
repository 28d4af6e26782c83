"""PaPr on ViTs against the original: maps, kept patches in order, tokens, logits."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.models.papr import golden, networks
from vpp_deploy.models.papr.hooks import changed_output
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.significance import image_significance, mean_map

pytestmark = pytest.mark.golden
FAMILIES = ("vit_cls*", "vit_gap*", "vit_mae*")


def build(family: golden.Family, keep: float) -> PaprModel:
    model = networks.vit(family.config["model"])
    model.load_state_dict(family.weights, strict=True)
    return PaprModel(model, None, keep)


@pytest.mark.parametrize(("folder", "case"), golden.described_cases("per_z", *FAMILIES))
def test_case(folder: Path, case: str) -> None:
    family = golden.family(folder)
    papr = build(family, family.config["per_z"][case]["z"])
    vit = papr.base.model
    seen: dict[str, torch.Tensor] = {}

    def note(name: str):
        return lambda tensor: seen.setdefault(name, tensor)

    vit.blocks[0].register_forward_hook(
        lambda module, arguments, out: seen.update({f"{case}/tokens_post": arguments[0]})
    )
    with torch.no_grad(), ExitStack() as hooks:
        hooks.enter_context(changed_output(vit.norm_pre, note("tokens_pre")))
        for i, block in enumerate(vit.blocks):
            hooks.enter_context(changed_output(block, note(f"{case}/block{i}_out")))
        output = papr(family.tensor("image"), family.tensor("prop_feat"))
    for name, tensor in seen.items():
        family.check_values(name, tensor)
    family.check_values(f"{case}/block_last_out", seen[f"{case}/block{len(vit.blocks) - 1}_out"])
    family.check_values(f"{case}/logits", output.logits)
    if papr.keep == 1:
        assert output.kept == output.significance == ()
        return
    family.check_values("psm", output.significance[0])
    prefix = vit.num_prefix_tokens
    assert output.kept[0].dtype == torch.int32
    family.check_positions(f"{case}/kept_idx", F.pad(output.kept[0] + prefix, (prefix, 0)))


@pytest.mark.parametrize("folder", golden.families(*FAMILIES))
def test_unaligned_corners_would_differ(folder: Path) -> None:
    """The literal pseudo-code of the paper resizes with other corners; the golden data must tell the two apart."""
    family = golden.family(folder)
    features = family.tensor("prop_feat")
    base = mean_map(features)
    family.check_values("psm_lowres", base)
    grid = tuple(family.arrays["psm"].shape[1:])
    unaligned = F.interpolate(base[:, None], size=grid, mode="bicubic", align_corners=False)[:, 0]
    family.check_values("psm_WRONG_align_corners_false", unaligned)
    right = image_significance(features, grid)
    assert not np.allclose(unaligned, right, atol=1e-3)
    count = grid[0] * grid[1] // 2
    sets = [np.sort(scores.flatten(1).argsort(descending=True)[:, :count]) for scores in (right, unaligned)]
    assert not np.array_equal(*sets)
