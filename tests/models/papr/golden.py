"""Reading the PaPr reference data: whatever families and cases a folder holds."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.conftest import SHARED

FOLDER = Path(os.environ.get("PAPR_GOLDEN_DIR", SHARED / "golden" / "papr"))
ATOL = 2e-5
FEATURES_ATOL = 1e-4
NO_DATA = f"no golden data: {FOLDER} has no such family (set PAPR_GOLDEN_DIR)"
_ORDER_UNDEFINED = "idx_arrays_whose_ORDER_differs_in_fp64_near_ties_compare_as_sets"


@dataclass(frozen=True)
class Family:
    """One family's configuration, arrays and weights."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "data.npz") as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        return safetensors.torch.load_file(self.folder / "weights.safetensors")

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def check_values(self, name: str, got: torch.Tensor, atol: float = ATOL) -> None:
        """Compare with an array, if the family has it."""
        if name in self.arrays:
            np.testing.assert_allclose(got.numpy(), self.arrays[name], rtol=0, atol=atol, err_msg=name)

    def order_is_certain(self, name: str) -> bool:
        """Whether the original's order of these positions is more than rounding."""
        return name not in self.config.get(_ORDER_UNDEFINED, ())

    def check_positions(self, name: str, got: torch.Tensor, scores: torch.Tensor | None = None) -> None:
        """Compare positions in order, or as sets where the order is one of rounding.

        `scores` `[B, N]` are what was ranked: equal ones have no order in the original, and have one of ours.
        """
        want, have = self.arrays[name], got.numpy()
        if scores is not None and (np.sort(want) == np.sort(have)).all():
            by_want, by_have = (np.take_along_axis(scores.numpy(), order.astype(int), 1) for order in (want, have))
            tied = (by_want == by_have) & (want != have)
            want = np.where(tied, have, want)
        if not self.order_is_certain(name):
            want, have = np.sort(want), np.sort(have)
        np.testing.assert_array_equal(have, want, err_msg=name)


@cache
def family(folder: Path) -> Family:
    return Family(folder)


def folders(*patterns: str) -> list[Path]:
    found = {path for pattern in patterns for path in FOLDER.glob(pattern) if (path / "data.npz").is_file()}
    return sorted(found)


def cases(names: dict[Path, list[str]]) -> list[Any]:
    """Parameters (family folder, case), or one that is skipped where there is no data."""
    found = [pytest.param(folder, name, id=f"{folder.name}-{name}") for folder, each in names.items() for name in each]
    return found or [pytest.param(None, None, marks=pytest.mark.skip(reason=NO_DATA))]


def families(*patterns: str) -> list[Any]:
    """Parameters (family folder), or one that is skipped where there is no data."""
    found = [pytest.param(folder, id=folder.name) for folder in folders(*patterns)]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=NO_DATA))]


def described_cases(key: str, *patterns: str) -> list[Any]:
    """The cases that the configuration lists under `key` with a keep ratio."""
    return cases(
        {
            folder: [
                name for name, case in family(folder).config[key].items() if isinstance(case, dict) and "z" in case
            ]
            for folder in folders(*patterns)
        }
    )
