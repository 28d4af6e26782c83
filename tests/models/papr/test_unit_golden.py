"""The selection rule and token merging alone against the original, at real grid sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.models.papr import golden
from vpp_deploy.models.papr.foreground import StageForeground
from vpp_deploy.models.papr.merging import merge
from vpp_deploy.models.papr.significance import PatchSelection, image_significance, kept_count, mean_map
from vpp_deploy.ops import match_tokens, mergeable, select_tokens

pytestmark = pytest.mark.golden


def keep_ratio(tag: str) -> float:
    """`z0p550` to 0.55."""
    return float(tag.removeprefix("z").replace("p", "."))


def unit_cases(pattern: str, wanted) -> list:
    """Every case of a unit family whose description passes `wanted`."""
    found = {}
    for folder in golden.folders(pattern):
        described = golden.family(folder).config["cases"]
        found[folder] = [name for name, case in described.items() if wanted(case)]
    return golden.cases(found)


@pytest.mark.parametrize(("folder", "case"), unit_cases("psm_unit*", lambda case: "grid" in case))
def test_selection_for_vits(folder: Path, case: str) -> None:
    family = golden.family(folder)
    described = family.config["cases"][case]
    grid, prefix = described["grid"], int(described["class_token"])
    significance = image_significance(family.tensor(f"{case}/feat"), (grid, grid))
    family.check_values(f"{case}/psm", significance)
    tags = [name.split("/")[1] for name in family.arrays if name.startswith(f"{case}/") and name.endswith("kept_idx")]
    assert tags
    for tag in tags:
        count = kept_count(described["n_tokens"], keep_ratio(tag), grid * grid)
        kept = select_tokens(significance.flatten(1), count, by_position=False)
        family.check_positions(f"{case}/{tag}/kept_idx", F.pad(kept + prefix, (prefix, 0)))


@pytest.mark.parametrize(("folder", "case"), unit_cases("psm_unit*", lambda case: "grids" in case))
def test_selection_for_stages(folder: Path, case: str) -> None:
    family = golden.family(folder)
    base = mean_map(family.tensor(f"{case}/feat"))
    for tag in family.config["cases"][case]["keep"]:
        grid, ratio = tag.removeprefix("grid").split("_")
        foreground = StageForeground(base, keep_ratio(ratio), 0, PatchSelection())
        foreground.choose((int(grid), int(grid)))
        family.check_values(f"{case}/psm_{grid}", foreground.significance)
        mask = foreground.put(torch.ones(*foreground.kept.shape, 1)).squeeze(-1)
        want = family.arrays[f"{case}/{ratio}/fg_mask_{grid}"]
        np.testing.assert_array_equal(mask.reshape(want.shape), want)
        if f"{case}/{ratio}/idx_fg_{grid}" in family.arrays:
            family.check_positions(f"{case}/{ratio}/idx_fg_{grid}", foreground.kept)


@pytest.mark.parametrize(("folder", "case"), unit_cases("tome_unit*", lambda case: "r_requested" in case))
@pytest.mark.parametrize("sizes", ["size_none", "size_given"])
def test_merging(folder: Path, case: str, sizes: str) -> None:
    family = golden.family(folder)
    described = family.config["cases"][case]
    tokens, metric = family.tensor("x"), family.tensor("metric")
    prefix = described["class_token"] + described.get("distill_token", False)
    length, r = tokens.shape[1], described["r_requested"]
    assert mergeable(length, r, prefix) == described["r_effective"]
    size = family.tensor("size_in") if sizes == "size_given" else None
    merged, merged_size = merge(tokens, size, metric, r, prefix)
    family.check_values(f"{case}/{sizes}/x", merged)
    family.check_values(f"{case}/{sizes}/size", merged_size)
    rows = match_tokens(metric, r, prefix)
    if f"{case}/source" in family.arrays:
        membership = F.one_hot(rows.long(), described["n_out"]).transpose(1, 2)
        np.testing.assert_array_equal(membership, family.arrays[f"{case}/source"])
        if prefix < 2:
            check_matches(family, case, rows, (length + 1) // 2 - described["r_effective"])


def check_matches(family: golden.Family, case: str, rows: torch.Tensor, unmerged: int) -> None:
    """The original's three index arrays, in their order, follow from the rows."""
    unm, src, dst = (family.tensor(f"{case}/{name}_idx") for name in ("unm", "src", "dst"))
    even, odd = rows[:, ::2].long(), rows[:, 1::2]
    assert torch.equal(even.gather(1, unm), torch.arange(unmerged).expand_as(unm))
    assert torch.equal(even.gather(1, src), unmerged + dst)
    assert torch.equal(odd[0].long(), unmerged + torch.arange(odd.shape[1]))
