"""Mask2Former's transformer decoder with track queries (Cheng et al., CVPR 2022; VPP, section Detector head)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vpp_deploy.families.vpp.config import HeadConfig
from vpp_deploy.families.vpp.layers import SelfAttention, resize_bilinear
from vpp_deploy.families.vpp.pixel_decoder import (
    ENCODER_LEVELS,
    FeedForward,
    PixelDecoder,
    PixelDecoderOutput,
    sine_position_encoding,
)

BLOCKED = -1e9
"""Added to attention logits that must not count; finite, so that float16 engines can saturate it without NaN."""


class HeadOutput(NamedTuple):
    """The head's raw outputs.

    Attributes:
        mask_features: `[B, C, H/4, W/4]`.
        queries: query features `[B, Q + T, C]` before layer 0 and after every layer (layers + 1 of them), before the
            final layer norm. The last ones are what is fed back as track queries.
    """

    mask_features: Tensor
    queries: tuple[Tensor, ...]


class _Attention(nn.Module):
    """mmcv's wrapper name around multi-head attention, and the residual."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.attn = SelfAttention(config.width, config.heads)

    def forward(self, identity: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        out: Tensor = identity + self.attn(query, key, value, bias)
        return out


class _DecoderLayer(nn.Module):
    """Post-norm layer: masked cross-attention, self-attention, feed-forward."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(_Attention(config) for _ in range(2))
        self.ffns = nn.ModuleList([FeedForward(config.width, config.decoder_ffn)])
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))

    def forward(
        self, query: Tensor, embed: Tensor, key: Tensor, value: Tensor, cross_bias: Tensor, self_bias: Tensor | None
    ) -> Tensor:
        cross_attention, self_attention = self.attentions
        query = self.norms[0](cross_attention(query, query + embed, key, value, cross_bias))
        embedded = query + embed
        query = self.norms[1](self_attention(query, embedded, embedded, query, self_bias))
        out: Tensor = self.norms[2](self.ffns[0](query))
        return out


class _Decoder(nn.Module):
    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_DecoderLayer(config) for _ in range(config.decoder_layers))
        self.post_norm = nn.LayerNorm(config.width)


class AttentionMask(nn.Module):
    """What a query may attend to, from its mask prediction. A module, so that a hook can see and change its input."""

    def forward(self, logits: Tensor) -> Tensor:
        """`[B, Q, h·w]` mask logits to an additive bias `[B, 1, Q, h·w]`.

        A place is blocked where the mask probability is under 0.5; a row that is blocked everywhere is opened.
        """
        # A bound for each row instead of a second mask: one pass less, and a maximum is cheap where "all" is not.
        lowest = torch.finfo(logits.dtype).min
        bound = torch.where(logits.amax(dim=-1, keepdim=True) < 0, lowest, 0.0)
        return torch.where(logits < bound, BLOCKED, 0.0).to(logits.dtype).unsqueeze(1)


class Mask2FormerHead(nn.Module):
    """Pixel decoder, transformer decoder and prediction layers.

    Args:
        inputs: channels of the backbone's maps.
        classes: number of classes, "no object" not counted.
        config: sizes.
    """

    def __init__(self, inputs: int, classes: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.pixel_decoder = PixelDecoder(inputs, config)
        self.attention_mask = AttentionMask()
        self.transformer_decoder = _Decoder(config)
        self.query_embed = nn.Embedding(config.queries, width)
        self.query_feat = nn.Embedding(config.queries, width)
        self.level_embed = nn.Embedding(ENCODER_LEVELS, width)
        self.cls_embed = nn.Linear(width, classes + 1)
        layers = [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
        self.mask_embed = nn.Sequential(*layers)

    def forward(
        self,
        features: tuple[Tensor, ...],
        track_queries: Tensor | None = None,
        track_valid: Tensor | None = None,
    ) -> HeadOutput:
        """Decode one frame.

        Args:
            features: maps `[B, D, H/s, W/s]` for s = 4, 8, 16, 32.
            track_queries: `[B, T, C]` features fed back from earlier frames, in order; None for none.
            track_valid: `[B, T]` bool, which of the slots hold a track; None means all. Slots without one change
                nothing for the others: nobody attends to them.
        """
        return self.decode(self.pixel_decoder(features), track_queries, track_valid)

    def decode(
        self, pixels: PixelDecoderOutput, track_queries: Tensor | None, track_valid: Tensor | None
    ) -> HeadOutput:
        """The transformer decoder alone; arguments as in `forward`."""
        batch = pixels.mask_features.shape[0]
        query = self.query_feat.weight.expand(batch, -1, -1)
        embed = self.query_embed.weight.expand(batch, -1, -1)
        self_bias = None
        if track_queries is not None:
            query = torch.cat([query, track_queries], dim=1)
            embed = torch.cat([embed, torch.zeros_like(track_queries)], dim=1)
            if track_valid is not None:
                self_bias = self._slot_bias(track_valid, like=query)
        shapes = [(memory.shape[2], memory.shape[3]) for memory in pixels.memories]
        # Resizing is linear, so resizing the mask features once a level replaces resizing every layer's masks.
        level_features = [resize_bilinear(pixels.mask_features, shape).flatten(2) for shape in shapes]
        values = [
            memory.flatten(2).transpose(1, 2) + level
            for memory, level in zip(pixels.memories, self.level_embed.weight, strict=True)
        ]
        keys = [
            value + sine_position_encoding(shape, self.config.width, value)
            for value, shape in zip(values, shapes, strict=True)
        ]
        queries = [query]
        for number, layer in enumerate(self.transformer_decoder.layers):
            level = number % ENCODER_LEVELS
            cross_bias = self.attention_mask(self.mask_queries(query) @ level_features[level])
            query = layer(query, embed, keys[level], values[level], cross_bias, self_bias)
            queries.append(query)
        return HeadOutput(pixels.mask_features, tuple(queries))

    def class_logits(self, queries: Tensor) -> Tensor:
        """Query features `[B, Q, C]` to class logits `[B, Q, classes + 1]`; the last class is "no object"."""
        out: Tensor = self.cls_embed(self.transformer_decoder.post_norm(queries))
        return out

    def mask_queries(self, queries: Tensor) -> Tensor:
        """Query features `[B, Q, C]` to mask embeddings `[B, Q, C]`; times mask features they are mask logits."""
        out: Tensor = self.mask_embed(self.transformer_decoder.post_norm(queries))
        return out

    def mask_logits(self, queries: Tensor, mask_features: Tensor) -> Tensor:
        """Query features `[B, Q, C]` and mask features `[B, C, h, w]` to mask logits `[B, Q, h, w]`."""
        size = (mask_features.shape[2], mask_features.shape[3])
        logits: Tensor = (self.mask_queries(queries) @ mask_features.flatten(2)).unflatten(2, size)
        return logits

    def _slot_bias(self, track_valid: Tensor, like: Tensor) -> Tensor:
        """`[B, T]` validity to an additive self-attention bias `[B, 1, 1, Q + T]`."""
        bias = torch.where(track_valid, 0.0, BLOCKED).to(like.dtype)
        learned = bias.new_zeros(bias.shape[0], self.config.queries)
        return torch.cat([learned, bias], dim=1)[:, None, None]
