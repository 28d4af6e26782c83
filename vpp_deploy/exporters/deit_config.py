"""What families that prune a DeiT share and that needs no PyTorch: configuration, options, names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from vpp_deploy.errors import ConfigError, ExportError, UsageError
from vpp_deploy.exporters.plain_config import MOST_LAYERS, PlainConfig, check_range
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.options import option

SIZE: Final = (224, 224)
"""Height and width that the published models were trained with."""
CLASSES: Final = 1000
Published = Mapping[str, tuple[int, int]]
"""Width and heads of published sizes; depth 12, points at blocks 3, 6 and 9."""


@dataclass(frozen=True)
class PruningStep:
    """A pruning point that drops something.

    Attributes:
        block: where it is.
        keep: as configured.
        count: K, how many tokens stay.
    """

    block: int
    keep: float
    count: int


@dataclass(frozen=True)
class DeitConfig(PlainConfig):
    """A DeiT that is pruned at some of its blocks: everything but its weights.

    Attributes:
        name: of the model, for messages and manifests.
        width: channels C of a token.
        depth: number of blocks.
        heads: of the attention; they share C evenly.
        keep: at each point, share of the tokens that stay, in (0, 1]; the family says of which tokens.
        points: blocks (from 0) at which tokens are dropped, ascending.
        patch: side of a patch in pixels.
        size: height and width of the image in pixels, multiples of `patch`.
        classes: number of classes.
        mlp_ratio: hidden channels of the MLP, as a multiple of C.

    Raises:
        ConfigError: a value out of range.
    """

    keep_word: ClassVar[str] = "keep ratio"
    at: ClassVar[str] = "before"
    """Where a point is, seen from its block."""

    name: str
    width: int
    depth: int
    heads: int
    keep: tuple[float, ...]
    points: tuple[int, ...] = (3, 6, 9)
    patch: int = 16
    size: tuple[int, int] = SIZE
    classes: int = CLASSES
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "patch", "classes", "mlp_ratio"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{self.name}: {name} is {getattr(self, name)}; it must be above 0")
        check_range(self.name, {"depth": self.depth}, highest=MOST_LAYERS)
        if self.width % self.heads:
            raise ConfigError(
                f"{self.name}: width {self.width} with {self.heads} heads; the width must be a multiple of the heads"
            )
        self.check_size("image", self.size)
        self._check_points()

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def patches(self) -> int:
        """N, the number of patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def schedule(self) -> Sequence[PruningStep]:
        """The points that drop something, in order; a point that drops nothing is passed by."""
        raise NotImplementedError

    def check_size(self, what: str, size: tuple[int, int]) -> None:
        """See that an image size is made of whole patches.

        Raises:
            ConfigError: it is not.
        """
        height, width = size
        if height < 1 or width < 1 or height % self.patch or width % self.patch:
            raise ConfigError(
                f"{self.name}: {what} size {height}x{width}; both sides must be multiples of {self.patch} pixels, "
                "the side of a patch"
            )

    def _check_points(self) -> None:
        if len(self.keep) != len(self.points):
            raise ConfigError(
                f"{self.name}: {len(self.keep)} {self.keep_word}s for {len(self.points)} pruning points; give one per "
                "point"
            )
        blocks = (-1, *self.points)
        if any(a >= b for a, b in zip(blocks, self.points, strict=False)) or blocks[-1] >= self.depth:
            raise ConfigError(
                f"{self.name}: pruning points {list(self.points)}; they must be ascending blocks from 0 to "
                f"{self.depth - 1}"
            )
        for block, keep in zip(self.points, self.keep, strict=True):
            if not 0 < keep <= 1:
                raise ConfigError(
                    f"{self.keep_word} {keep} {self.at} block {block}: it must be above 0 and at most 1 (1 prunes "
                    "nothing)"
                )


@dataclass(frozen=True)
class DeitOptions:
    """Export options of classifiers that are made from a DeiT."""

    labels: Path | Sequence[str] | None = option(
        None, "Names of the classes, one per line.", metavar="FILE", shown="those that the library knows", type=Path
    )
    batch: int = option(1, "Images or clips that the graph takes at once.", metavar="N", minimum=1, maximum=4096)


def known_name(model: str, prefix: str, published: Published) -> str:
    """A model's name without its prefix.

    Raises:
        ExportError: not a published one; names the nearest.
    """
    name = model.removeprefix(prefix)
    if name in published:
        return name
    near = difflib.get_close_matches(name, published, n=1)
    known = ", ".join(prefix + each for each in published)
    raise ExportError(
        f"unknown model {model!r}; " + (f"did you mean {prefix}{near[0]}?" if near else f"known: {known}")
    )


def own_config(request: ExportRequest, **others: object) -> Any:
    """The configuration of a module in memory, which says everything itself.

    Args:
        request: its model is the module.
        others: options that the configuration has too, None where they were not given.

    Raises:
        UsageError: something was asked for that the configuration says already.
    """
    said = {"keep": request.keep, "size": request.size, **others}
    if twice := [name for name, value in said.items() if value is not None]:
        raise UsageError(f"export {type(request.model).__name__}: {', '.join(twice)} belong into its configuration")
    return request.model.config


def keep_as_text(keep: Any, default: str) -> str:
    """What was asked for as `--keep` takes it: a number, text, or numbers in a list; the default for None."""
    if keep is None:
        return default
    return ",".join(map(str, keep)) if isinstance(keep, list | tuple) else str(keep)


def keep_values(text: str, points: int, word: str) -> tuple[float, ...]:
    """Keep ratios as users write them: one number, or one per point, separated by commas.

    Raises:
        ConfigError: not numbers, or neither one nor as many as points.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"{word} {text!r}: it must be one number, or {points} separated by commas, e.g. 0.7"
        ) from None
    if len(values) not in (1, points):
        raise ConfigError(f"{word} {text!r}: {len(values)} numbers for {points} pruning points; give 1 or {points}")
    return values
