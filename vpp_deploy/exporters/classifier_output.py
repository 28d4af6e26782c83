"""What every pruned classifier gives, and how it chooses its patches."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vpp_deploy.ops import select_tokens


class ClassifierOutput(NamedTuple):
    """Outputs of a pruned classifier.

    Attributes:
        logits: `[B, classes]`; of a model without classes its features `[B, C]`.
        significance: one map per pruning point, `[B, rows, columns]` (clips: `[B, layers, rows, columns]`), larger is
            more significant and 0 where the patch was pruned before; where tokens that were fused before compete too,
            `[B, N + fused]`: the N patches row-major, then the fused tokens. Empty when nothing is pruned.
        kept: one `[B, K]` int32 per point: positions of the patches that stay, row-major on the grid (fused tokens
            follow from N on), most significant first. Class tokens are not counted. K may be 0; a graph has no such
            output.
    """

    logits: Tensor
    significance: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]


class PatchSelection(nn.Module):
    """The choice of the patches that stay; a module, so that a hook can see or replace the decision."""

    def forward(self, significance: Tensor, count: int, positions: Tensor | None = None) -> Tensor:
        """Rows of the most significant patches, most significant first, ties by row.

        Args:
            significance: `[B, n]`, or `[B, *grid]`, of the patches that are left.
            count: K.
            positions: `[B, n]` int32, where these patches stand on the grid; None: row-major on the whole grid. The
                choice does not depend on it; it tells a hook what the rows are.

        Returns:
            `[B, K]` int32 rows of `significance`, flattened.
        """
        del positions
        return select_tokens(significance.flatten(1), count, by_position=False)
