"""Everything that says which DynamicViT is meant, except for its weights. Nothing here needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.exporters import deit_config
from vpp_deploy.exporters.deit_config import DeitConfig, keep_values


@dataclass(frozen=True)
class PruningStep(deit_config.PruningStep):
    """One pruning point at which patches are dropped, before its block.

    Attributes:
        index: which of the configured points, and so which predictor.
    """

    index: int


@dataclass(frozen=True)
class DynamicViTConfig(DeitConfig):
    """A DeiT that DynamicViT prunes (Rao et al., NeurIPS 2021).

    `keep` is the share of the ORIGINAL patches that stay at each point, in (0, 1] and not growing. A point that drops
    nothing (1, or as many patches as there were) is passed by; all 1 is the dense model.

    Raises:
        ConfigError: a value out of range, or a point that would keep no patch.
    """

    keep_word: ClassVar[str] = "keep ratio"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 4:
            raise ConfigError(
                f"{self.name}: width {self.width}; a predictor splits it in four, so it must be 4 or more"
            )
        before = 1.0
        for block, keep in zip(self.points, self.keep, strict=True):
            if keep > before:
                raise ConfigError(
                    f"keep ratio {keep} before block {block}: it counts from all patches of the image, so it must not "
                    f"exceed the {before} of the point before"
                )
            if int(self.patches * keep) < 1:
                raise ConfigError(
                    f"keep ratio {keep} before block {block} keeps none of {self.patches} patches; the smallest usable "
                    f"ratio there is {_smallest_ratio(self.patches)}"
                )
            before = keep

    @property
    def schedule(self) -> tuple[PruningStep, ...]:
        """The points that drop patches: K = int(N · r) of each, in order."""
        steps, left = [], self.patches
        for index, (block, keep) in enumerate(zip(self.points, self.keep, strict=True)):
            count = int(self.patches * keep)
            if count < left:
                steps.append(PruningStep(block, keep, count, index))
            left = count
        return tuple(steps)

    def dense(self) -> DynamicViTConfig:
        """The same model without points and predictors: the DeiT that it is made from."""
        return replace(self, keep=(), points=())


PUBLISHED: Final[Mapping[str, tuple[int, int]]] = {
    "deit_256": (256, 4),
    "deit_small": (384, 6),
    "deit_base": (768, 12),
}
"""Width and heads of the sizes that the authors publish weights of; depth 12, points before blocks 3, 6 and 9."""


def published(
    name: str, keep: tuple[float, ...], size: tuple[int, int] = (224, 224), classes: int = 1000
) -> DynamicViTConfig:
    """One of the `PUBLISHED` sizes.

    Args:
        name: of the size.
        keep: see `DynamicViTConfig`; three ratios. The published weights were trained at (0.7, 0.49, 0.343).
        size: height and width of the image.
        classes: number of classes.

    Raises:
        ExportError: unknown name.
        ConfigError: a value out of range.
    """
    if name not in PUBLISHED:
        raise ExportError(f"unknown DynamicViT {name!r}; known: {', '.join(PUBLISHED)}")
    width, heads = PUBLISHED[name]
    return DynamicViTConfig(name, width, depth=12, heads=heads, keep=keep, size=size, classes=classes)


def parse_keep(text: str, points: int = 3) -> tuple[float, ...]:
    """Keep ratios as users write them: the base ratio ρ, which gives (ρ, ρ², ρ³, ...), or one ratio per point.

    Args:
        text: a number, or as many numbers as there are points, separated by commas.
        points: number of pruning points.

    Raises:
        ConfigError: not numbers, not as many as points, or a base ratio outside (0, 1].
    """
    ratios = keep_values(text, points, "keep ratio")
    if len(ratios) > 1:
        return ratios
    if not 0 < ratios[0] <= 1:
        raise ConfigError(f"keep ratio {text}: it must be above 0 and at most 1 (1 keeps every patch)")
    return tuple(ratios[0] ** (index + 1) for index in range(points))


def _smallest_ratio(patches: int) -> float:
    """The smallest ratio of four decimals (of more where there are many patches) that keeps one patch."""
    digits = max(4, math.ceil(math.log10(patches)) + 1)
    scale = int(10**digits)
    return math.ceil(scale / patches) / scale
