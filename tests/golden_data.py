"""The reference data of the original models: where they are, how they are read, what "equal" means.

Each set is a folder of its own: `VPP_GOLDEN_DIR`, `PAPR_GOLDEN_DIR` and `PRUNED_VIT_GOLDEN_DIR` name them; by default
they are `../shared/golden/{vpp,papr,pruned_vit}`. Where there is no such folder, a small subset in `tests/golden` is
used, and the end of the pytest run says so. Tests take every size from the data: the folders may be others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch

SMALL = Path(__file__).parent / "golden"
FULL = Path(__file__).parents[2] / "shared" / "golden"

CERTAIN_GAP = 1e-5
"""Scores nearer than this share of their range are in no certain order."""

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class GoldenSet:
    """One folder of reference data.

    Attributes:
        name: of the folder.
        variable: environment variable that says where it is.
    """

    name: str
    variable: str

    @cached_property
    def folder(self) -> Path:
        """What the variable says, else the full set, else the small one."""
        if self.variable in os.environ:
            return Path(os.environ[self.variable])
        full = FULL / self.name
        return full if full.is_dir() else SMALL / self.name

    @property
    def is_small(self) -> bool:
        """Whether this is the subset of the repository."""
        return self.folder == SMALL / self.name

    def models(self, *patterns: str, family: str = "") -> list[Model]:
        """The models in folders that match a pattern and whose configuration names the family at its start."""
        folders = {path for pattern in patterns for path in self.folder.glob(pattern) if (path / "data.npz").is_file()}
        found = [model(folder) for folder in sorted(folders)]
        return [one for one in found if str(one.config["family"]).startswith(family)]

    def parameters(self, *patterns: str, family: str = "") -> list[Any]:
        """Pytest parameters (model), or one that is skipped where there is none."""
        found = [pytest.param(one, id=one.folder.name) for one in self.models(*patterns, family=family)]
        return found or [self._skipped(1, patterns, family)]

    def cases(
        self,
        *patterns: str,
        family: str = "",
        key: str = "cases",
        wanted: Callable[[Mapping[str, Any]], bool] = bool,
    ) -> list[Any]:
        """Pytest parameters (model, case): what the configuration lists under `key`, or one that is skipped."""
        found = [
            pytest.param(one, name, id=f"{one.folder.name}-{name}")
            for one in self.models(*patterns, family=family)
            for name, case in one.config[key].items()
            if isinstance(case, Mapping) and wanted(case)
        ]
        return found or [self._skipped(2, patterns, family)]

    def _skipped(self, arguments: int, patterns: tuple[str, ...], family: str) -> Any:
        wanted = " ".join([*patterns, *([f"({family})"] if family else [])])
        reason = f"no golden data: {self.folder} has no {wanted} for this test (set {self.variable})"
        return pytest.param(*[None] * arguments, marks=pytest.mark.skip(reason=reason))


VPP = GoldenSet("vpp", "VPP_GOLDEN_DIR")
PAPR = GoldenSet("papr", "PAPR_GOLDEN_DIR")
PRUNED_VIT = GoldenSet("pruned_vit", "PRUNED_VIT_GOLDEN_DIR")
SETS = (VPP, PAPR, PRUNED_VIT)


def summary() -> str | None:
    """One line on the subset, if a golden test would use it."""
    small = [one.variable for one in SETS if one.is_small]
    return f"golden tests ran on the small subset in tests/golden; set {', '.join(small)} for all" if small else None


def there(path: Path) -> Path:
    """The path; a folder of reference data may lack a file, and then the test is skipped."""
    if not path.is_file():
        pytest.skip(f"no golden data: {path.parent} has no {path.name}")
    return path


def read_json(path: Path) -> Any:
    """What a JSON file of the reference data holds."""
    return json.loads(there(path).read_text(encoding="utf-8"))


def read_arrays(path: Path) -> Arrays:
    """All arrays of an `.npz` file."""
    with np.load(there(path)) as file:
        return {name: file[name] for name in file.files}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a `.safetensors` file."""
    return safetensors.torch.load_file(there(path))


def part(values: Mapping[str, Any], name: str, what: str = "case") -> Any:
    """An entry that a set may lack: the test is skipped then."""
    if name not in values:
        pytest.skip(f"the golden data have no {what} {name}")
    return values[name]


@dataclass(frozen=True)
class Model:
    """A folder with `config.json`, `data.npz` and, of most, `weights.safetensors`."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        content = read_json(self.folder / "config.json")
        assert isinstance(content, dict)
        return content

    @cached_property
    def arrays(self) -> Arrays:
        return read_arrays(self.folder / "data.npz")

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        return read_weights(self.folder / "weights.safetensors")

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(part(self.arrays, name, "array"))

    def check_values(self, name: str, got: torch.Tensor, atol: float) -> None:
        """Compare with an array, if the folder has it."""
        if name in self.arrays:
            np.testing.assert_allclose(got.numpy(), self.arrays[name], rtol=0, atol=atol, err_msg=name)


@cache
def model(folder: Path) -> Model:
    """The model of a folder, read once."""
    return Model(folder)


def check_choice(have: Array, want: Array, scores: Array, name: str = "") -> None:
    """Compare chosen positions `[B, K]`: the same sets, and the same order of all whose scores differ.

    Args:
        have: what is checked.
        want: the original's.
        scores: what was ranked, `[B, N]`; scores nearer than `CERTAIN_GAP` of a row's range have no certain order.
        name: of the array, for messages.
    """
    np.testing.assert_array_equal(np.sort(have), np.sort(want), err_msg=f"{name}: as sets")
    mine, theirs = (np.take_along_axis(scores, order.astype(np.int64), 1) for order in (have, want))
    certain = np.abs(mine - theirs) > CERTAIN_GAP * np.ptp(scores, axis=1, keepdims=True)
    wrong = (have != want) & certain
    assert not wrong.any(), f"{name}: another order at (row, rank) {np.argwhere(wrong).tolist()[:5]}"


def by_place(tokens: Array, places: Array, prefix: int = 0) -> Array:
    """Tokens `[B, P + K, C]`: the first P as they are, then the others in ascending place.

    Two sides may hold tokens of nearly equal scores in orders of their own.
    """
    order = places.argsort(axis=1)[:, :, None]
    return np.concatenate([tokens[:, :prefix], np.take_along_axis(tokens[:, prefix:], order, axis=1)], axis=1)
