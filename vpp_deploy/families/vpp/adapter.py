"""The ViT-Adapter around the transformer blocks: spatial prior module, injector, extractor (Chen et al., ICLR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.families.vpp.config import PATCH_SIZE, BackboneConfig
from vpp_deploy.families.vpp.layers import MultiScaleDeformableAttention, reference_grid
from vpp_deploy.families.vpp.selection import MappingSelectiveModule

ADAPTER_STRIDES = (8, 16, 32)
FFN_RATIO = 0.25


def adapter_shapes(grid: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(h, w) of the adapter's maps at strides 8, 16 and 32 for a token grid at stride 16 with even sides."""
    return tuple((grid[0] * PATCH_SIZE // stride, grid[1] * PATCH_SIZE // stride) for stride in ADAPTER_STRIDES)


def _conv_norm_relu(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class SpatialPriorModule(nn.Module):
    """A small ConvNet that gives maps at strides 4, 8, 16 and 32, all of the token width."""

    def __init__(self, stem_width: int, width: int) -> None:
        super().__init__()
        w = stem_width
        stem = [*_conv_norm_relu(3, w, 2), *_conv_norm_relu(w, w, 1), *_conv_norm_relu(w, w, 1)]
        self.stem = nn.Sequential(*stem, nn.MaxPool2d(3, stride=2, padding=1))
        self.conv2 = nn.Sequential(*_conv_norm_relu(w, 2 * w, 2))
        self.conv3 = nn.Sequential(*_conv_norm_relu(2 * w, 4 * w, 2))
        self.conv4 = nn.Sequential(*_conv_norm_relu(4 * w, 4 * w, 2))
        self.fc1 = nn.Conv2d(w, width, 1)
        self.fc2 = nn.Conv2d(2 * w, width, 1)
        self.fc3 = nn.Conv2d(4 * w, width, 1)
        self.fc4 = nn.Conv2d(4 * w, width, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[B, 3, H, W]` to maps `[B, D, H/s, W/s]` for s = 4, 8, 16, 32."""
        stem = self.stem(image)
        level8 = self.conv2(stem)
        level16 = self.conv3(level8)
        level32 = self.conv4(level16)
        return self.fc1(stem), self.fc2(level8), self.fc3(level16), self.fc4(level32)


class Injector(nn.Module):
    """Adds spatial detail to the tokens: `x + gamma · (attention(q) + q)`, q = LN(x), value = LN(c)."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(config.width))
        self.query_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.feat_norm = nn.LayerNorm(config.width, eps=1e-6)
        levels = len(ADAPTER_STRIDES)
        self.attn = MultiScaleDeformableAttention(config.width, config.deform_heads, levels, config.deform_points)

    def forward(self, tokens: Tensor, spatial: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens `[B, N, D]` and adapter tokens `[B, 21N/4, D]` to tokens `[B, N, D]`."""
        query = self.query_norm(tokens)
        points = reference_grid([grid], tokens)
        out: Tensor = self.attn(query, self.feat_norm(spatial), points, adapter_shapes(grid)) + query
        return tokens + self.gamma * out


class DepthwiseConv(nn.Module):
    """A 3×3 depthwise convolution with the same weights on each of the adapter's maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, spatial: Tensor, grid: tuple[int, int]) -> Tensor:
        """`[B, 21N/4, C]` to the same shape."""
        shapes = adapter_shapes(grid)
        maps = torch.split(spatial.transpose(1, 2), [h * w for h, w in shapes], dim=2)
        filtered = [self.dwconv(part.unflatten(2, shape)).flatten(2) for part, shape in zip(maps, shapes, strict=True)]
        return torch.cat(filtered, dim=2).transpose(1, 2)


class ConvFfn(nn.Module):
    """Linear, depthwise convolution, GELU, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(width * FFN_RATIO)
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, spatial: Tensor, grid: tuple[int, int]) -> Tensor:
        """`[B, 21N/4, D]` to the same shape."""
        out: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(spatial), grid)))
        return out


class Extractor(nn.Module):
    """Updates the adapter tokens from the ViT tokens: `c + attention(q) + q`, q = LN(c), then `c + ConvFFN(LN(c))`."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.feat_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = MultiScaleDeformableAttention(config.width, config.deform_heads, 1, config.deform_points)
        self.ffn = ConvFfn(config.width)
        self.ffn_norm = nn.LayerNorm(config.width, eps=1e-6)

    def forward(self, spatial: Tensor, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Adapter tokens `[B, 21N/4, D]` and tokens `[B, N, D]` to adapter tokens."""
        query = self.query_norm(spatial)
        points = reference_grid(adapter_shapes(grid), spatial)
        spatial = spatial + self.attn(query, self.feat_norm(tokens), points, [grid]) + query
        refined: Tensor = spatial + self.ffn(self.ffn_norm(spatial), grid)
        return refined


class Interaction(nn.Module):
    """What surrounds one stage of blocks: an injector before it and one or more extractors after it.

    Args:
        config: backbone configuration.
        extra_extractors: extractors after the first one; the last stage has two.
        matching_module: the mapping selective module, which the official layout keeps in the first stage.
    """

    def __init__(
        self, config: BackboneConfig, extra_extractors: int = 0, matching_module: MappingSelectiveModule | None = None
    ) -> None:
        super().__init__()
        self.injector = Injector(config)
        self.extractor = Extractor(config)
        if extra_extractors:
            self.extra_extractors = nn.ModuleList(Extractor(config) for _ in range(extra_extractors))
        if matching_module is not None:
            self.matching_module = matching_module

    def extract(self, spatial: Tensor, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Run all extractors of the stage in series."""
        for extractor in (self.extractor, *getattr(self, "extra_extractors", ())):
            spatial = extractor(spatial, tokens, grid)
        return spatial
