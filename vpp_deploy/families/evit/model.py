"""EViT on DeiT: tokens that matter little to the class token are dropped, or fused into one, inside some blocks."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from vpp_deploy.exporters.classifier_output import ClassifierOutput
from vpp_deploy.exporters.deit import PrunedDeit, positions_at
from vpp_deploy.families.evit.block import ReducingBlock
from vpp_deploy.families.evit.config import EViTConfig
from vpp_deploy.ops import scatter_tokens


class EViT(PrunedDeit):
    """A pruned DeiT (Liang et al., ICLR 2022, section 3). Any DeiT checkpoint fits: names are DeiT's own.

    Position N + i stands for the token that the i-th pruning step (from 0) fused.

    Args:
        config: which model; its weights are random until they are loaded. `pos_embed` is that of `config.grid`, see
            `resized_position_embedding`.

    Attributes:
        config: as given.
        selection: chooses the tokens; called once per step of `config.schedule`, in order.
    """

    family: ClassVar[str] = "evit"
    config: EViTConfig

    def __init__(self, config: EViTConfig) -> None:
        super().__init__(config)
        counts = {step.block: step.count for step in config.schedule}
        self.blocks = nn.ModuleList(
            ReducingBlock(block, counts[number], config.fuse) if number in counts else block
            for number, block in enumerate(self.blocks.children())
        )
        self.eval()

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Classify.

        Args:
            images: `[B, 3, H, W]` of the configured size, normalised as the model was trained.

        Returns:
            Significance is the class token's attention, in [0, 1]: `[B, rows, columns]`, and `[B, N + i]` at step i
            with fusion, from the second step on.
        """
        tokens = self.embedded(images)
        positions: Tensor | None = None  # of the tokens but the class token; None: all patches, row-major
        significance: list[Tensor] = []
        kept: list[Tensor] = []
        for block in self.blocks.children():
            if not isinstance(block, ReducingBlock):
                tokens = block(tokens)
                continue
            tokens, scores, rows = block(tokens, self.selection, positions)
            significance.append(self._map(scores, positions, fused=len(kept)))
            positions = rows if positions is None else positions_at(positions, rows)
            kept.append(positions)
            if self.config.fuse:
                fused = positions.new_full((positions.shape[0], 1), self.config.patches + len(kept) - 1)
                positions = torch.cat([positions, fused], dim=1)
        return ClassifierOutput(self.classified(tokens), tuple(significance), tuple(kept))

    def _map(self, scores: Tensor, positions: Tensor | None, fused: int) -> Tensor:
        """Scores `[B, n]` where their tokens stand, 0 elsewhere.

        Args:
            scores: of the tokens at `positions`.
            positions: `[B, n]` int32; None: all patches, row-major.
            fused: number of steps before this one.

        Returns:
            `[B, rows, columns]`; `[B, N + fused]` where fused tokens compete.
        """
        if positions is None:
            return scores.reshape(-1, *self.grid)
        places = self.config.patches + (fused if self.config.fuse else 0)
        nothing = scores.new_zeros(scores.shape[0], places, 1)
        flat = scatter_tokens(nothing, positions, scores.unsqueeze(-1)).squeeze(-1)
        return flat if self.config.fuse else flat.reshape(-1, *self.grid)
