"""Everything that says which EViT is meant, except for its weights. Nothing here needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from vpp_deploy.errors import ExportError
from vpp_deploy.exporters import deit_config
from vpp_deploy.exporters.deit_config import DeitConfig, keep_values


@dataclass(frozen=True)
class PruningStep(deit_config.PruningStep):
    """One pruning point at which tokens are dropped, inside its block.

    Attributes:
        tokens: how many tokens compete, the class token not counted.
    """

    tokens: int


@dataclass(frozen=True)
class EViTConfig(DeitConfig):
    """A DeiT that EViT prunes (Liang et al., ICLR 2022).

    `keep` is, at each point, the share of the tokens PRESENT there that stay, in (0, 1]. A point that drops nothing (1,
    or too few tokens to drop one) is passed by; all 1 is the dense model.

    Attributes:
        fuse: the tokens that a point drops go on as one fused token, instead of not at all.
        pretrain_size: height and width that the position embedding in the weights belongs to; None for `size`.

    Raises:
        ConfigError: a value out of range.
    """

    keep_word: ClassVar[str] = "keep rate"
    at: ClassVar[str] = "in"

    fuse: bool = True
    pretrain_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_size("pretrain", self.pretrain_size or self.size)

    @property
    def pretrain_grid(self) -> tuple[int, int]:
        """Rows and columns of the position embedding in the weights."""
        height, width = self.pretrain_size or self.size
        return height // self.patch, width // self.patch

    @property
    def schedule(self) -> tuple[PruningStep, ...]:
        """The points that drop tokens: K = ceil(n · k) of each, in order; n counts fused tokens of earlier points."""
        steps, tokens = [], self.patches
        for block, keep in zip(self.points, self.keep, strict=True):
            count = math.ceil(tokens * keep)
            if count < tokens:
                steps.append(PruningStep(block, keep, count, tokens))
                tokens = count + self.fuse
        return tuple(steps)

    def dense(self) -> EViTConfig:
        """The same model without points: the DeiT that it is made from."""
        return replace(self, keep=(), points=())


PUBLISHED: Final[Mapping[str, tuple[int, int]]] = {
    "deit_tiny": (192, 3),
    "deit_small": (384, 6),
    "deit_base": (768, 12),
}
"""Width and heads of the DeiT sizes; depth 12, points in blocks 3, 6 and 9."""


def published(
    name: str,
    keep: tuple[float, ...],
    *,
    fuse: bool = True,
    size: tuple[int, int] = (224, 224),
    pretrain_size: tuple[int, int] | None = None,
    classes: int = 1000,
) -> EViTConfig:
    """One of the `PUBLISHED` sizes.

    Args:
        name: of the size.
        keep: see `EViTConfig`; three rates. Published are 0.5 to 0.9, the same at all points.
        fuse: see `EViTConfig`.
        size: height and width of the image.
        pretrain_size: see `EViTConfig`.
        classes: number of classes.

    Raises:
        ExportError: unknown name.
        ConfigError: a value out of range.
    """
    if name not in PUBLISHED:
        raise ExportError(f"unknown EViT {name!r}; known: {', '.join(PUBLISHED)}")
    width, heads = PUBLISHED[name]
    return EViTConfig(
        name, width, depth=12, heads=heads, keep=keep, fuse=fuse, size=size, pretrain_size=pretrain_size,
        classes=classes,
    )  # fmt: skip


def parse_keep(text: str, points: int = 3) -> tuple[float, ...]:
    """Keep rates as users write them: one for all points, or one per point.

    Args:
        text: a number, or as many numbers as there are points, separated by commas.
        points: number of pruning points.

    Raises:
        ConfigError: not numbers, or not as many as points.
    """
    rates = keep_values(text, points, "keep rate")
    return rates if len(rates) > 1 else rates * points
