"""PaPr on ViTs against the original: maps, kept patches in order, tokens, logits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.families.papr import networks
from tests.families.papr.golden import ATOL, check_patches, patches, pruned_cases
from tests.golden_data import PAPR, Model, by_place
from vpp_deploy.families.papr.hooks import changed_output
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.significance import image_significance, mean_map

pytestmark = pytest.mark.golden
FAMILIES = ("vit_cls*", "vit_gap*", "vit_mae*")


def build(golden: Model, keep: float) -> PaprModel:
    model = networks.vit(golden.config["model"])
    model.load_state_dict(golden.weights, strict=True)
    return PaprModel(model, None, keep)


@pytest.mark.parametrize(("golden", "case"), pruned_cases(*FAMILIES, key="per_z"))
def test_case(golden: Model, case: str) -> None:
    papr = build(golden, golden.config["per_z"][case]["z"])
    vit = papr.base.model
    seen: dict[str, torch.Tensor] = {}

    def note(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda tensor: seen.setdefault(name, tensor)

    vit.blocks[0].register_forward_hook(
        lambda module, arguments, out: seen.update({f"{case}/tokens_post": arguments[0]})
    )
    with torch.no_grad(), ExitStack() as hooks:
        hooks.enter_context(changed_output(vit.norm_pre, note("tokens_pre")))
        for i, block in enumerate(vit.blocks):
            hooks.enter_context(changed_output(block, note(f"{case}/block{i}_out")))
        output = papr(golden.tensor("image"), golden.tensor("prop_feat"))
    golden.check_values(f"{case}/logits", output.logits, ATOL)
    golden.check_values("tokens_pre", seen.pop("tokens_pre"), ATOL)
    tokens = {**seen, f"{case}/block_last_out": seen[f"{case}/block{len(vit.blocks) - 1}_out"]}
    if papr.keep == 1:
        assert output.kept == output.significance == ()
        for name, tensor in tokens.items():
            golden.check_values(name, tensor, ATOL)
        return
    significance, prefix = output.significance[0], vit.num_prefix_tokens
    golden.check_values("psm", significance, ATOL)
    assert output.kept[0].dtype == torch.int32
    kept_idx = golden.arrays[f"{case}/kept_idx"]
    check_patches(case, output.kept[0], kept_idx, significance, prefix)
    for name in tokens.keys() & golden.arrays.keys():
        want = by_place(golden.arrays[name], patches(kept_idx, prefix), prefix)
        have = by_place(tokens[name].numpy(), output.kept[0].numpy(), prefix)
        np.testing.assert_allclose(have, want, rtol=0, atol=ATOL, err_msg=name)


@pytest.mark.parametrize("golden", PAPR.parameters(*FAMILIES))
def test_unaligned_corners_would_differ(golden: Model) -> None:
    """The literal pseudo-code of the paper resizes with other corners; the golden data must tell the two apart."""
    features = golden.tensor("prop_feat")
    base = mean_map(features)
    golden.check_values("psm_lowres", base, ATOL)
    rows, columns = golden.tensor("psm").shape[1:]
    unaligned = F.interpolate(base[:, None], size=(rows, columns), mode="bicubic", align_corners=False)[:, 0]
    golden.check_values("psm_WRONG_align_corners_false", unaligned, ATOL)
    right = image_significance(features, (rows, columns))
    assert not np.allclose(unaligned, right, atol=1e-3)
    count = rows * columns // 2
    sets = [np.sort(scores.flatten(1).argsort(descending=True)[:, :count]) for scores in (right, unaligned)]
    assert not np.array_equal(*sets)
