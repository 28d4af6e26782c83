"""A transformer block that drops or fuses the tokens to which the class token pays least attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.exporters.classifier_output import PatchSelection
from vpp_deploy.ops import gather_tokens, scatter_tokens


class Reduced(NamedTuple):
    """What a block that drops tokens gives.

    Attributes:
        tokens: `[B, 1 + K, C]`, class token first; with fusion `[B, 1 + K + 1, C]`, fused token last.
        scores: `[B, n]` of the tokens that came in, in (0, 1).
        rows: `[B, K]` int32, which of them stay.
    """

    tokens: Tensor
    scores: Tensor
    rows: Tensor


class ScoringAttention(nn.Module):
    """Self-attention that also gives the class token's attention to the others.

    Args:
        attention: timm's `Attention`; its projections are taken over, under their names.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.scale = attention.num_heads, attention.scale

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            tokens: `[B, 1 + n, C]`, class token first.

        Returns:
            New tokens `[B, 1 + n, C]`; the class token's attention `[B, n]`, mean over the heads (EViT, section 3.2).
        """
        batch, length, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind(0)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        # One row, computed a second time: so the attention of all tokens stays in the form that runtimes have a
        # kernel for, and the decision can be taken in float32 where that kernel is not.
        class_row = (queries[:, :, :1] * self.scale) @ keys.transpose(-2, -1)
        scores = class_row.softmax(dim=-1)[:, :, 0, 1:].mean(dim=1)
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, length, width))
        return projected, scores


class ReducingBlock(nn.Module):
    """A block that drops tokens between its attention and its MLP.

    Args:
        block: timm's `Block`; its parts are taken over, under their names.
        count: K, how many tokens stay.
        fuse: whether the others go on as one token.
    """

    def __init__(self, block: Any, count: int, fuse: bool) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
        self.attn = ScoringAttention(block.attn)
        self.count, self.fuse = count, fuse

    def forward(self, tokens: Tensor, selection: PatchSelection, positions: Tensor | None) -> Reduced:
        """Attend, drop, and run the MLP on what is left.

        Args:
            tokens: `[B, 1 + n, C]`, class token first.
            selection: chooses the tokens that stay.
            positions: `[B, n]` int32 of the tokens, for the selection; None: all patches, row-major.
        """
        attended, scores = self.attn(self.norm1(tokens))
        tokens = tokens + attended
        others = tokens[:, 1:]
        rows = selection(scores, self.count, positions)
        left = [tokens[:, :1], gather_tokens(others, rows)]
        if self.fuse:
            left.append(fused(others, scores, rows))
        tokens = torch.cat(left, dim=1)
        return Reduced(tokens + self.mlp(self.norm2(tokens)), scores, rows)


def fused(tokens: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
    """The sum of score · token over the tokens that are not kept, not normalised (EViT, equation 4).

    Args:
        tokens: `[B, n, C]`.
        scores: `[B, n]`.
        kept: `[B, K]` int32 rows.

    Returns:
        `[B, 1, C]`.
    """
    # Kept tokens weigh 0: which tokens are dropped need not be listed.
    weights = scatter_tokens(scores.unsqueeze(-1), kept, scores.new_zeros(*kept.shape, 1))
    return weights.transpose(1, 2) @ tokens
