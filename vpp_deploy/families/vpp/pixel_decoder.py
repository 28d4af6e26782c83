"""Mask2Former's pixel decoder: multi-scale memories and mask features from the backbone's maps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.families.vpp.config import HeadConfig
from vpp_deploy.families.vpp.layers import MultiScaleDeformableAttention, reference_grid, resize_bilinear

ENCODER_LEVELS = 3


class PixelDecoderOutput(NamedTuple):
    """What the transformer decoder works on.

    Attributes:
        mask_features: `[B, C, H/4, W/4]`.
        memories: three maps `[B, C, h, w]`, strides 32, 16, 8.
    """

    mask_features: Tensor
    memories: tuple[Tensor, ...]


def sine_position_encoding(shape: tuple[int, int], width: int, like: Tensor) -> Tensor:
    """Sine encoding of a map's pixels, `[h·w, C]`: first half of the channels for y, second half for x.

    Coordinates run from 1 to the size, are divided by (size + 1e-6) and scaled by 2π; temperature 10000, sine and
    cosine interleaved (DETR, appendix A.4; Mask2Former's settings).
    """
    half = width // 2
    channel = torch.arange(half, dtype=like.dtype, device=like.device)
    period = 10000 ** (2 * torch.div(channel, 2, rounding_mode="floor") / half)
    encodings = []
    for size in shape:
        place = torch.arange(1, size + 1, dtype=like.dtype, device=like.device)
        angle = (place / (size + 1e-6) * (2 * torch.pi))[:, None] / period
        encodings.append(torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=-1).flatten(1))
    h, w = shape
    y, x = encodings[0][:, None].expand(h, w, half), encodings[1][None].expand(h, w, half)
    return torch.cat([y, x], dim=-1).flatten(0, 1)


class ConvNorm(nn.Module):
    """Convolution and group norm."""

    def __init__(self, inputs: int, config: HeadConfig, kernel: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(inputs, config.width, kernel, padding=kernel // 2, bias=bias)
        self.gn = nn.GroupNorm(config.norm_groups, config.width, eps=1e-5)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, inputs, h, w]` to `[B, C, h, w]`."""
        out: Tensor = self.gn(self.conv(image))
        return out


class FeedForward(nn.Module):
    """Linear, ReLU, linear, and the residual; keys as mmcv's FFN."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(width, hidden), nn.ReLU())
        self.layers = nn.Sequential(first, nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, C]` to the same shape."""
        out: Tensor = tokens + self.layers(tokens)
        return out


class _EncoderLayer(nn.Module):
    """Post-norm deformable encoder layer."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        attention = MultiScaleDeformableAttention(config.width, config.heads, ENCODER_LEVELS, config.points)
        self.attentions = nn.ModuleList([attention])
        self.ffns = nn.ModuleList([FeedForward(config.width, config.encoder_ffn)])
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))

    def forward(self, memory: Tensor, position: Tensor, points: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
        attended = memory + self.attentions[0](memory + position, memory, points, shapes)
        out: Tensor = self.norms[1](self.ffns[0](self.norms[0](attended)))
        return out


class _Encoder(nn.Module):
    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_EncoderLayer(config) for _ in range(config.encoder_layers))


class PixelDecoder(nn.Module):
    """Deformable encoder over strides 32, 16 and 8, and a lateral path at stride 4.

    Args:
        inputs: channels of the backbone's maps.
        config: sizes.
    """

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        self.width = config.width
        self.input_convs = nn.ModuleList(ConvNorm(inputs, config) for _ in range(ENCODER_LEVELS))
        self.encoder = _Encoder(config)
        self.level_encoding = nn.Embedding(ENCODER_LEVELS, config.width)
        self.lateral_convs = nn.ModuleList([ConvNorm(inputs, config, bias=False)])
        self.output_convs = nn.ModuleList([ConvNorm(config.width, config, kernel=3, bias=False)])
        self.mask_feature = nn.Conv2d(config.width, config.width, 1)

    def forward(self, features: tuple[Tensor, ...]) -> PixelDecoderOutput:
        """Backbone maps at strides 4, 8, 16, 32 to mask features and memories."""
        level4, *levels = features
        levels = levels[::-1]
        shapes = [(level.shape[2], level.shape[3]) for level in levels]
        projected = [conv(level).flatten(2) for conv, level in zip(self.input_convs, levels, strict=True)]
        memory = torch.cat(projected, dim=2).transpose(1, 2)
        encodings = [sine_position_encoding(shape, self.width, memory) for shape in shapes]
        position = torch.cat([e + level for e, level in zip(encodings, self.level_encoding.weight, strict=True)])
        points = reference_grid(shapes, memory)
        for layer in self.encoder.layers:
            memory = layer(memory, position, points, shapes)
        parts = torch.split(memory.transpose(1, 2), [h * w for h, w in shapes], dim=2)
        memories = tuple(part.unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True))
        upsampled = resize_bilinear(memories[-1], (level4.shape[2], level4.shape[3]))
        fused = F.relu(self.output_convs[0](self.lateral_convs[0](level4) + upsampled))
        return PixelDecoderOutput(self.mask_feature(fused), memories)
