"""Token merging (ToMe) behind PaPr: the later half of a ViT's blocks merge similar tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.families.papr.structure import require_structure
from vpp_deploy.ops import match_tokens, merge_tokens, mergeable

_NEEDED: Final = {
    "blocks.0.norm1": "the norm before attention",
    "blocks.0.attn.k_norm": "the keys of each head",
    "blocks.0.ls1": "the attention's residual",
    "blocks.0.norm2": "the norm before the MLP",
    "blocks.0.mlp": "the MLP",
    "blocks.0.ls2": "the MLP's residual",
    "cls_token": "a class token, which the classifier reads",
}


class MergingBlocks(nn.Sequential):
    """A timm ViT's blocks, some of which merge tokens between their attention and their MLP.

    Attention is proportional: a token that stands for s tokens counts s times as a key. Parameter names are those of
    the blocks.

    Args:
        blocks: timm `Block` modules.
        schedule: tokens that each block merges, 0 for none.
        prefix: 1 with a class token, 2 with a class and a distillation token, neither of which is ever merged.
    """

    def __init__(self, blocks: Sequence[nn.Module], schedule: Sequence[int], prefix: int) -> None:
        super().__init__(*blocks)
        self.schedule, self.prefix = tuple(schedule), prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, C]` to `[B, N - merged, C]`, class token first."""
        size: Tensor | None = None
        for block, r in zip(self, self.schedule, strict=True):
            if r == 0 and size is None:
                tokens = block(tokens)
            else:
                tokens, size = self._merging_block(block, tokens, size, r)
        return tokens

    def remaining(self, length: int) -> int:
        """How many of `length` tokens, class token included, there are after the last block."""
        for r in self.schedule:
            length -= max(0, mergeable(length, r, self.prefix))
        return length

    def _merging_block(self, block: Any, tokens: Tensor, size: Tensor | None, r: int) -> tuple[Tensor, Tensor]:
        attended, metric = _attend(block.attn, block.norm1(tokens), size)
        tokens = tokens + block.drop_path1(block.ls1(attended))
        tokens, size = merge(tokens, size, metric, r, self.prefix)
        return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens)))), size


def merge(tokens: Tensor, size: Tensor | None, metric: Tensor, r: int, prefix: int = 1) -> tuple[Tensor, Tensor]:
    """Merge `r` tokens into similar ones; a merged token is their mean, weighted by size.

    Args:
        tokens: `[B, N, C]`.
        size: `[B, N, 1]`, how many tokens each stands for; None for one each.
        metric: `[B, N, D]`, what similarity is measured on.
        r: tokens to merge, clipped to half of the unprotected ones.
        prefix: how many tokens at the start (class and distillation token) take no part.

    Returns:
        tokens `[B, N - r, C]` and their sizes `[B, N - r, 1]`.
    """
    length = tokens.shape[1]
    size = torch.ones_like(tokens[..., :1]) if size is None else size
    r = mergeable(length, r, prefix)
    if r <= 0:
        return tokens, size
    rows = match_tokens(metric, r, prefix)
    sums = merge_tokens(torch.cat([tokens * size, size], dim=-1), rows, length - r)
    return sums[..., :-1] / sums[..., -1:], sums[..., -1:]


def merge_tokens_of(model: nn.Module, keep: float, r: int) -> nn.Module:
    """Make a timm ViT merge `r` tokens per merging block, in place.

    Args:
        model: a ViT that classifies its class token.
        keep: keep ratio: below 1 the later half of the blocks merge, at 1 all do.
        r: tokens per merging block, above 0.

    Raises:
        ConfigError: `r` is negative.
        ExportError: the model lacks a part that is needed, or pools its patches.
    """
    if r < 0:
        raise ConfigError(f"merge {r}: the number of tokens to merge cannot be negative")
    require_structure(model, "a ViT that merges tokens", _NEEDED)
    vit: Any = model
    if vit.global_pool != "token":
        raise ExportError(
            f"{type(model).__name__} pools its tokens ({vit.global_pool}); merging needs one that reads its class token"
        )
    vit.blocks = MergingBlocks(list(vit.blocks), merge_schedule(len(vit.blocks), keep, r), vit.num_prefix_tokens)
    return model


def merge_schedule(depth: int, keep: float, r: int) -> list[int]:
    """Tokens merged in each block: `r` everywhere at keep ratio 1, else in the later half (not in an odd last one)."""
    if keep == 1:
        return [r] * depth
    half = depth // 2
    return [0] * half + [r] * half + [0] * (depth - 2 * half)


def _attend(attention: Any, tokens: Tensor, size: Tensor | None) -> tuple[Tensor, Tensor]:
    """What attention gives, and the mean of its keys over the heads, `[B, N, D]`."""
    keys: list[Tensor] = []
    note = attention.k_norm.register_forward_hook(lambda module, arguments, output: keys.append(output))
    try:
        attended = attention(tokens, attn_mask=None if size is None else size.log().unsqueeze(1).transpose(2, 3))
    finally:
        note.remove()
    return attended, keys[0].mean(1)
