"""Which patches matter: the patch significance map and how many patches a keep ratio keeps (PaPr, section 3)."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from vpp_deploy.errors import ConfigError, ExportError


def mean_map(features: Tensor) -> Tensor:
    """Mean over the channels of proposal features, `[B, K, h, w]` to `[B, h, w]`."""
    return features.mean(1)


def resize_map(base: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map resized to a token grid: bicubic with a = -0.75, corners aligned, no antialiasing.

    Args:
        base: `[B, h, w]`.
        grid: rows and columns of tokens.

    Returns:
        `[B, rows, columns]`.
    """
    return F.interpolate(base.unsqueeze(1), size=grid, mode="bicubic", align_corners=True).squeeze(1)


def image_significance(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patch significance map of an image.

    Args:
        features: `[B, K, h, w]` of the proposal, not negative.
        grid: rows and columns of tokens.

    Returns:
        `[B, rows, columns]`; a larger value is a more significant patch.
    """
    return resize_map(mean_map(features), grid)


def clip_significance(features: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Patch significance map of a clip, with an L2 norm of 1. Unlike images, features are resized before their mean.

    Args:
        features: `[B, K, t, h, w]` of the proposal, not negative.
        grid: token layers in time, rows, columns.

    Returns:
        `[B, layers, rows, columns]`.
    """
    resized = F.interpolate(features, size=grid, mode="trilinear", align_corners=True).mean(1)
    significance: Tensor = F.normalize(resized.flatten(1), dim=1).unflatten(1, grid)
    return significance


def checked_keep(keep: float) -> float:
    """The keep ratio, if it is one.

    Raises:
        ConfigError: not in (0, 1].
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"keep ratio {keep}: it must be above 0 and at most 1 (1 keeps every patch)")
    return keep


def kept_count(tokens: int, keep: float, patches: int, where: str = "", *, may_be_none: bool = False) -> int:
    """How many patches stay: `int(tokens * keep)` in double precision, at most all of them.

    Args:
        tokens: length of the sequence that the ratio applies to; with a class token it is one more than `patches`.
        keep: keep ratio in (0, 1].
        patches: how many patches there are.
        where: for the error message, what is pruned.
        may_be_none: the model can do without any patch.

    Raises:
        ExportError: the ratio keeps no patch at all, and it must not.
    """
    count = int(tokens * keep)
    if count == 0 and not may_be_none:
        smallest = math.ceil(10_000 / tokens) / 10_000
        smallest = smallest if int(tokens * smallest) else smallest + 1e-4
        place = f" of {where}" if where else ""
        raise ExportError(
            f"keep ratio {keep} keeps none of the {patches} patches{place}; the smallest usable one is {smallest:.4f}"
        )
    return min(count, patches)
