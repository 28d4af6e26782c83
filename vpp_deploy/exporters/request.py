"""What every export is asked for. Nothing here needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.options import Progress


@dataclass(frozen=True)
class ExportRequest:
    """What every export is asked for, whatever the family.

    Attributes:
        model: a name, with the family's prefix, or an object that the family knows: a configuration, a module.
        out: the bundle's folder; its parent exists.
        checkpoint: file or folder of trained weights; None if weights come from elsewhere.
        weights: which of several sets of weights in the checkpoint: `raw`, `ema`, or a key; None for the usual ones.
        allow_nonfinite: export weights that hold NaN or infinity.
        random_weights: weights without training, for trying out; None if they were not asked for.
        keep: tokens to keep, as the family understands it (text on the command line); None for its default.
        size: height and width of the input in pixels; None for the model's own.
        precision: of matrix products and convolutions.
        overwrite: replace an existing bundle.
        progress: see `Progress`.
        note: called with a line about each decision that the user should know of when all is done.

    Raises:
        UsageError: `weights` without a checkpoint, or a size that is not two whole numbers.
    """

    model: Any
    out: Path
    checkpoint: Path | None = None
    weights: str | None = None
    allow_nonfinite: bool = False
    random_weights: RandomWeights | None = None
    keep: Any = None
    size: tuple[int, int] | None = None
    precision: str = "float32"
    overwrite: bool = False
    progress: Progress = field(default=lambda step: None, compare=False)
    note: Progress = field(default=lambda line: None, compare=False)

    def __post_init__(self) -> None:
        if self.weights is not None and self.checkpoint is None:
            raise UsageError("--weights chooses among the weights of a --checkpoint; give one (in Python checkpoint=)")
        if self.size is not None and not _is_size(self.size):
            raise UsageError(f"size is {self.size!r:.80}; give height and width in pixels, such as (224, 224)")


def _is_size(size: object) -> bool:
    sides = size if isinstance(size, tuple | list) else ()
    return len(sides) == 2 and all(isinstance(side, Integral) for side in sides)
