"""Layers that several parts of the detector share. Attribute names follow the official checkpoints' keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.ops import deformable_attention


class SelfAttention(nn.Module):
    """Multi-head attention with a fused in-projection (keys as in `torch.nn.MultiheadAttention`).

    Args:
        width: channels C.
        heads: number of heads; C is a multiple.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query: `[B, Q, C]`.
            key: `[B, K, C]`.
            value: `[B, K, C]`.
            bias: added to the attention logits, broadcastable to `[B, heads, Q, K]`; None for none.

        Returns:
            `[B, Q, C]`.
        """
        if query is key and key is value:
            q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
            q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        q, k, v = self._split(q), self._split(k), self._split(v)
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if bias is not None:
            logits = logits + bias
        attended: Tensor = self.out_proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return attended

    def _split(self, tokens: Tensor) -> Tensor:
        heads: Tensor = tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads


class MultiScaleDeformableAttention(nn.Module):
    """Deformable attention (Deformable DETR, equation 3), without the identity that callers add.

    Args:
        width: channels C.
        heads: number of heads.
        levels: number of value maps.
        points: sampling points per head and level.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(width, heads * levels * points * 2)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)

    def forward(
        self, query: Tensor, value: Tensor, reference_points: Tensor, level_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Attend.

        Args:
            query: `[B, Q, C]`.
            value: `[B, S, C]`, the maps one after the other, each row-major.
            reference_points: `[Q, 2]` (y, x) in [0, 1], the same for all levels.
            level_shapes: (h, w) of each map.

        Returns:
            `[B, Q, C]`.
        """
        weights = self.attention_weights(query).unflatten(-1, (self.heads, -1)).softmax(-1)
        weights = weights.unflatten(-1, (self.levels, self.points))
        values = self.value_proj(value).unflatten(-1, (self.heads, -1))
        attended: Tensor = self.output_proj(
            deformable_attention(values, self._offsets(query), weights, reference_points, level_shapes)
        )
        return attended

    def _offsets(self, query: Tensor) -> Tensor:
        """`[B, Q, L, M, P, 2]` (y, x) in pixels.

        The checkpoints' order is (head, level, point, (x, y)); reordering the weights' rows, which engine builders
        fold, costs nothing, reordering the offsets themselves would.
        """
        shape = (self.heads, self.levels, self.points, 2)
        weight = self.sampling_offsets.weight.unflatten(0, shape).transpose(0, 1).flip(3).flatten(0, 3)
        bias = self.sampling_offsets.bias.unflatten(0, shape).transpose(0, 1).flip(3).flatten()
        offsets: Tensor = F.linear(query, weight, bias).unflatten(-1, (self.levels, self.heads, self.points, 2))
        return offsets


def reference_grid(level_shapes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Centres of the pixels of all levels, normalised: `[S, 2]` (y, x) in (0, 1), dtype and device of `like`."""
    levels = []
    for h, w in level_shapes:
        y = (torch.arange(h, dtype=like.dtype, device=like.device) + 0.5) / h
        x = (torch.arange(w, dtype=like.dtype, device=like.device) + 0.5) / w
        levels.append(torch.stack([y.repeat_interleave(w), x.repeat(h)], dim=-1))
    return torch.cat(levels)


def resize_bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """`[B, C, h, w]` resized to `size`, half-pixel centres, no antialiasing."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


class Mlp(nn.Module):
    """Two linear layers with a GELU (erf) between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[..., width]` to `[..., out]`."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out
