"""The small network that says how much a patch is worth keeping (DynamicViT, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScorePredictor(nn.Module):
    """Log-probability that a patch stays, from the patch itself and the mean of all patches that are left.

    Args:
        width: channels C of a token, at least 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # The predictor's norm has PyTorch's epsilon, unlike those of the blocks (1e-6).
        self.in_conv = nn.Sequential(nn.LayerNorm(width, eps=1e-5), nn.Linear(width, width), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Linear(width // 2, width // 4),
            nn.GELU(),
            nn.Linear(width // 4, 2),
            nn.LogSoftmax(dim=-1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Scores, at most 0.

        Args:
            patches: `[B, n, C]`, without the class token.

        Returns:
            `[B, n]`.
        """
        features = self.in_conv(patches)
        half = features.shape[-1] // 2
        whole_image = features[..., half:].mean(dim=1, keepdim=True).expand(-1, features.shape[1], -1)
        decision: Tensor = self.out_conv(torch.cat([features[..., :half], whole_image], dim=-1))
        return decision[..., 0]
