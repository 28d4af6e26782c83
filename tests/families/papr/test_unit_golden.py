"""The selection rule and token merging alone against the original, at real grid sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.families.papr.golden import ATOL, check_patches
from tests.golden_data import PAPR, Model, check_choice
from vpp_deploy.exporters.classifier_output import PatchSelection
from vpp_deploy.families.papr.foreground import StageForeground
from vpp_deploy.families.papr.merging import merge
from vpp_deploy.families.papr.significance import image_significance, kept_count, mean_map
from vpp_deploy.ops import match_tokens, mergeable, select_tokens

pytestmark = pytest.mark.golden


def keep_ratio(tag: str) -> float:
    """`z0p550` to 0.55."""
    return float(tag.removeprefix("z").replace("p", "."))


@pytest.mark.parametrize(("golden", "case"), PAPR.cases("psm_unit*", wanted=lambda case: "grid" in case))
def test_selection_for_vits(golden: Model, case: str) -> None:
    described = golden.config["cases"][case]
    grid, prefix = described["grid"], int(described["class_token"])
    significance = image_significance(golden.tensor(f"{case}/feat"), (grid, grid))
    golden.check_values(f"{case}/psm", significance, ATOL)
    tags = [name.split("/")[1] for name in golden.arrays if name.startswith(f"{case}/") and name.endswith("kept_idx")]
    assert tags
    for tag in tags:
        count = kept_count(described["n_tokens"], keep_ratio(tag), grid * grid)
        kept = select_tokens(significance.flatten(1), count, by_position=False)
        name = f"{case}/{tag}/kept_idx"
        check_patches(name, kept, golden.arrays[name], significance, prefix)


@pytest.mark.parametrize(("golden", "case"), PAPR.cases("psm_unit*", wanted=lambda case: "grids" in case))
def test_selection_for_stages(golden: Model, case: str) -> None:
    base = mean_map(golden.tensor(f"{case}/feat"))
    for tag in golden.config["cases"][case]["keep"]:
        grid, ratio = tag.removeprefix("grid").split("_")
        foreground = StageForeground(base, keep_ratio(ratio), 0, PatchSelection())
        foreground.choose((int(grid), int(grid)))
        golden.check_values(f"{case}/psm_{grid}", foreground.significance, ATOL)
        mask = foreground.put(torch.ones(*foreground.kept.shape, 1)).squeeze(-1)
        want = golden.arrays[f"{case}/{ratio}/fg_mask_{grid}"]
        np.testing.assert_array_equal(mask.reshape(want.shape), want)
        name = f"{case}/{ratio}/idx_fg_{grid}"
        if name in golden.arrays:
            check_choice(foreground.kept.numpy(), golden.arrays[name], foreground.significance.flatten(1).numpy(), name)


@pytest.mark.parametrize(("golden", "case"), PAPR.cases("tome_unit*", wanted=lambda case: "r_requested" in case))
@pytest.mark.parametrize("sizes", ["size_none", "size_given"])
def test_merging(golden: Model, case: str, sizes: str) -> None:
    described = golden.config["cases"][case]
    tokens, metric = golden.tensor("x"), golden.tensor("metric")
    prefix = described["class_token"] + described.get("distill_token", False)
    length, r = tokens.shape[1], described["r_requested"]
    assert mergeable(length, r, prefix) == described["r_effective"]
    size = golden.tensor("size_in") if sizes == "size_given" else None
    merged, merged_size = merge(tokens, size, metric, r, prefix)
    golden.check_values(f"{case}/{sizes}/x", merged, ATOL)
    golden.check_values(f"{case}/{sizes}/size", merged_size, ATOL)
    rows = match_tokens(metric, r, prefix)
    if f"{case}/source" in golden.arrays:
        membership = F.one_hot(rows.long(), described["n_out"]).transpose(1, 2)
        np.testing.assert_array_equal(membership, golden.arrays[f"{case}/source"])
        if prefix < 2:
            check_matches(golden, case, rows, (length + 1) // 2 - described["r_effective"])


def check_matches(golden: Model, case: str, rows: torch.Tensor, unmerged: int) -> None:
    """The original's three index arrays, in their order, follow from the rows."""
    unm, src, dst = (golden.tensor(f"{case}/{name}_idx") for name in ("unm", "src", "dst"))
    even, odd = rows[:, ::2].long(), rows[:, 1::2]
    assert torch.equal(even.gather(1, unm), torch.arange(unmerged).expand_as(unm))
    assert torch.equal(even.gather(1, src), unmerged + dst)
    assert torch.equal(odd[0].long(), unmerged + torch.arange(odd.shape[1]))
