"""The significant pixels of one stage of a hierarchical model (ConvNeXt, Swin)."""

from __future__ import annotations

from torch import Tensor

from vpp_deploy.exporters.classifier_output import PatchSelection
from vpp_deploy.families.papr.significance import kept_count, resize_map
from vpp_deploy.ops import gather_tokens, scatter_tokens


class StageForeground:
    """Foreground of a stage: constant within it, chosen as soon as its grid is known.

    Args:
        base: `[B, h, w]` mean map of the proposal's features.
        keep: keep ratio.
        stage: number of the stage, for messages.
        selection: chooses the pixels.
    """

    significance: Tensor
    kept: Tensor

    def __init__(self, base: Tensor, keep: float, stage: int, selection: PatchSelection) -> None:
        self._base, self._keep, self._stage, self._selection = base, keep, stage, selection
        self.grid = (0, 0)

    def choose(self, grid: tuple[int, int]) -> None:
        """Choose `int(keep * rows * columns)` pixels; a map that already has the grid's size is not resized.

        Raises:
            ExportError: none would be left.
        """
        self.grid = grid
        pixels = grid[0] * grid[1]
        count = kept_count(pixels, self._keep, pixels, f"stage {self._stage}")
        self.significance = self._base if tuple(self._base.shape[1:]) == grid else resize_map(self._base, grid)
        self.kept = self._selection(self.significance, count)

    def take(self, pixels: Tensor) -> Tensor:
        """Rows of the foreground, `[B, N, C]` to `[B, K, C]`."""
        return gather_tokens(pixels, self.kept)

    def put(self, rows: Tensor) -> Tensor:
        """`[B, K, C]` rows at their places and zero elsewhere, `[B, N, C]`."""
        batch, _, channels = rows.shape
        return scatter_tokens(rows.new_zeros(batch, self.grid[0] * self.grid[1], channels), self.kept, rows)
