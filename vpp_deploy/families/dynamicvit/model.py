"""DynamicViT on DeiT: a predictor before some blocks chooses the patches that stay; the others are gone for good."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from vpp_deploy.exporters.classifier_output import ClassifierOutput
from vpp_deploy.exporters.deit import PrunedDeit, positions_at
from vpp_deploy.families.dynamicvit.config import DynamicViTConfig
from vpp_deploy.families.dynamicvit.predictor import ScorePredictor
from vpp_deploy.ops import gather_tokens, scatter_tokens


class DynamicViT(PrunedDeit):
    """A pruned DeiT at inference (Rao et al., NeurIPS 2021, section 3.3: a fixed number of the best patches stays).

    Parameters have the names of the authors' checkpoints: DeiT's own, and `score_predictor.{i}` of the i-th point.

    Args:
        config: which model; its weights are random until they are loaded.

    Attributes:
        config: as given.
        selection: chooses the patches; called once per step of `config.schedule`, in order.
    """

    family: ClassVar[str] = "dynamicvit"
    config: DynamicViTConfig

    def __init__(self, config: DynamicViTConfig) -> None:
        super().__init__(config)
        self.score_predictor = nn.ModuleList(ScorePredictor(config.width) for _ in config.points)
        self.eval()

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Classify.

        Args:
            images: `[B, 3, H, W]` of the configured size, normalised as the model was trained.

        Returns:
            Significance is the probability to stay, in [0, 1], `[B, rows, columns]`.
        """
        tokens = self.embedded(images)
        steps = {step.block: step for step in self.config.schedule}
        positions: Tensor | None = None  # of the patches that are left; None: all, row-major
        significance, kept = [], []
        for number, block in enumerate(self.blocks.children()):
            if step := steps.get(number):
                patches = tokens[:, 1:]
                scores = self.score_predictor[step.index](patches)
                rows = self.selection(scores, step.count, positions)
                significance.append(self._map(scores.exp(), positions))
                positions = rows if positions is None else positions_at(positions, rows)
                kept.append(positions)
                tokens = torch.cat([tokens[:, :1], gather_tokens(patches, rows)], dim=1)
            tokens = block(tokens)
        return ClassifierOutput(self.classified(tokens), tuple(significance), tuple(kept))

    def _map(self, scores: Tensor, positions: Tensor | None) -> Tensor:
        """Scores `[B, n]` of the patches at `positions` on the grid `[B, rows, columns]`; 0 where there is none."""
        if positions is not None:
            nothing = scores.new_zeros(scores.shape[0], self.config.patches, 1)
            scores = scatter_tokens(nothing, positions, scores.unsqueeze(-1))
        return scores.reshape(-1, *self.grid)
