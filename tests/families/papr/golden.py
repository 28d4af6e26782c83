"""What the PaPr golden tests share: tolerances, cases with a keep ratio, positions without the class token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.golden_data import PAPR, Array, check_choice

ATOL = 2e-5
FEATURES_ATOL = 1e-4


def pruned_cases(*patterns: str, key: str = "cases") -> list[Any]:
    """Parameters (model, case) of the cases with a keep ratio."""
    return PAPR.cases(*patterns, key=key, wanted=lambda case: "z" in case)


def patches(kept_idx: Array, prefix: int) -> Array:
    """The original's positions among all tokens, as positions on the grid: its prefix tokens always come first."""
    np.testing.assert_array_equal(kept_idx[:, :prefix], np.tile(np.arange(prefix), (len(kept_idx), 1)))
    rest: Array = kept_idx[:, prefix:] - prefix
    return rest


def check_patches(name: str, kept: torch.Tensor, kept_idx: Array, significance: torch.Tensor, prefix: int) -> None:
    """Compare kept patches `[B, K]` with the original's tokens; `significance` `[B, rows, columns]` was ranked."""
    check_choice(kept.numpy(), patches(kept_idx, prefix), significance.flatten(1).numpy(), name)
