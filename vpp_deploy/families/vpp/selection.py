"""The two modules that score tokens: selective module and mapping selective module (VPP, section Selection)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.families.vpp.layers import Mlp
from vpp_deploy.ops import associate_tokens, gather_tokens

SELECTION_NOISE_SCALE = 0.1
"""The original adds Gumbel noise to logits with temperature 10: an effective scale of 1 / 10."""


class SelectiveModule(nn.Module):
    """Scores tokens by themselves, before blocks 3, 6 and 9.

    Args:
        width: token channels D.
        hidden: hidden channels of the MLP, D / 4 in the published models.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.mlp = Mlp(width, hidden, 2)

    def forward(self, tokens: Tensor, noise: Tensor | None = None) -> Tensor:
        """Soft keep scores.

        Args:
            tokens: `[B, N, D]`.
            noise: `[B, N, 2]` standard Gumbel noise; None for the deterministic score.

        Returns:
            `[B, N]` in [0, 1]; 0.5 and above is "keep" in threshold mode.
        """
        return _keep_probability(self.mlp(self.norm(tokens)), noise)


class TokenAssociation(nn.Module):
    """Which previous token each current token matches. A module, so that a hook can see and change the answer."""

    def forward(self, tokens: Tensor, reference: Tensor, positions: Tensor, grid: tuple[int, int]) -> Tensor:
        """`[B, N]` int32 rows of `reference`; arguments as in `MappingSelectiveModule`."""
        return associate_tokens(tokens, reference, positions, grid)


class MappingSelectiveModule(nn.Module):
    """Scores the tokens of a frame by the previous frame's deep features (Map-SM), before block 1.

    `init_mlp` and `norm_input` are in the official checkpoints but take no part in the computation.

    Args:
        width: token channels D.
        hidden: hidden channels of the selector, D / 2 in the published models.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.init_mlp = nn.Linear(width, hidden, bias=False)
        self.norm_input = nn.LayerNorm(width)
        self.selector = Mlp(width, hidden, 2)
        self.norm_selector = nn.LayerNorm(width, eps=1e-5)
        self.association = TokenAssociation()

    def forward(
        self,
        tokens: Tensor,
        reference: Tensor,
        deep: Tensor,
        positions: Tensor,
        grid: tuple[int, int],
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Soft keep scores and the association that they come from.

        Args:
            tokens: `[B, N, D]` current tokens before block 1.
            reference: `[B, K, D]` reference tokens of the previous frame.
            deep: `[B, K, D]` deep tokens of the previous frame, same rows.
            positions: `[B, K]` int32 grid positions of those rows.
            grid: rows and columns, N = rows · columns.
            noise: `[B, N, 2]` standard Gumbel noise on the smoothed logits; None for none.

        Returns:
            scores `[B, N]` in [0, 1], and source `[B, N]` int32, the row of the previous frame that each token matched.
        """
        source = self.association(tokens, reference, positions, grid)
        mapped = gather_tokens(deep, source)
        return _keep_probability(self.smoothed_logits(mapped, grid), noise), source

    def smoothed_logits(self, mapped: Tensor, grid: tuple[int, int]) -> Tensor:
        """Log-probabilities of keep and drop, averaged over 9×9 tokens: mapped tokens `[B, N, D]` to `[B, N, 2]`."""
        log_probability = self.selector(self.norm_selector(mapped)).log_softmax(-1)
        image = log_probability.transpose(1, 2).unflatten(-1, grid)
        smooth = F.avg_pool2d(F.pad(image, (4, 4, 4, 4), mode="replicate"), kernel_size=9, stride=1)
        return smooth.flatten(2).transpose(1, 2)


def _keep_probability(logits: Tensor, noise: Tensor | None) -> Tensor:
    """Probability of the first of two classes, `[B, N, 2]` to `[B, N]`."""
    if noise is not None:
        logits = logits.log_softmax(-1) + SELECTION_NOISE_SCALE * noise
    return torch.softmax(logits, dim=-1)[..., 0]
