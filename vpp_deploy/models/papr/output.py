"""What every pruned model gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PaprOutput(NamedTuple):
    """Outputs of a pruned model.

    Attributes:
        logits: `[B, classes]`.
        significance: one map per stage that was pruned, `[B, rows, columns]` (clips: `[B, layers, rows, columns]`);
            empty when nothing is pruned.
        kept: one `[B, K]` int32 per map: row-major positions of the patches that stay, most significant first. Class
            tokens are not counted.
    """

    logits: Tensor
    significance: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
