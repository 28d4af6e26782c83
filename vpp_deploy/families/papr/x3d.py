"""X3D-S and X3D-M (Feichtenhofer, CVPR 2020) up to their last convolution, as proposals for clips.

Both are one network; they differ in the clips they see. Parameter names are PyTorchVideo's: `blocks.0` stem, `blocks.1`
to `blocks.4` residual stages, `blocks.5.pool.pre_conv` and `pre_norm` the last convolution.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.families.papr.residual3d import ResBlock, ResStage, conv3d

_STEM: Final = 24
_STAGES: Final = ((24, 3), (48, 5), (96, 11), (192, 7))
"""Width and number of blocks of each stage."""
_EXPANSION: Final = 2.25
_SQUEEZE: Final = 16


class X3d(nn.Module):
    """The network; `features` has 432 channels, the clip's frames, and 1/32 of its height and width."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_Stem()]
        width = _STEM
        for outputs, depth in _STAGES:
            blocks.append(_stage(width, outputs, depth))
            width = outputs
        blocks.append(_Last(width, int(width * _EXPANSION)))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, clip: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, 432, T, H/32, W/32]`, not negative."""
        for block in self.blocks:
            clip = block(clip)
        return clip


class _Stem(nn.Module):
    """A spatial convolution, then a temporal one per channel. PyTorchVideo calls the spatial one `conv_t`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv_t", conv3d(3, _STEM, (1, 3, 3), (1, 2, 2)))
        self.conv.add_module("conv_xy", conv3d(_STEM, _STEM, (5, 1, 1), groups=_STEM))
        self.norm = nn.BatchNorm3d(_STEM)

    def forward(self, clip: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(clip)))


class _SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole clip holds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = _rounded(width / _SQUEEZE)
        self.block = nn.Sequential(
            nn.Conv3d(width, squeezed, 1), nn.ReLU(), nn.Conv3d(squeezed, width, 1), nn.Sigmoid()
        )

    def forward(self, clip: Tensor) -> Tensor:
        weighted: Tensor = clip * self.block(clip.mean((2, 3, 4), keepdim=True))
        return weighted


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        inner = int(outputs * _EXPANSION)
        self.conv_a = conv3d(inputs, inner, (1, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = conv3d(inner, inner, (3, 3, 3), (1, stride, stride), groups=inner)
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), _SqueezeExcitation(inner) if squeeze else nn.Identity())
        self.conv_c = conv3d(inner, outputs, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(outputs)

    def forward(self, clip: Tensor) -> Tensor:
        clip = torch.relu(self.norm_a(self.conv_a(clip)))
        clip = F.silu(self.norm_b(self.conv_b(clip)))
        out: Tensor = self.norm_c(self.conv_c(clip))
        return out


class _Pool(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pre_conv = conv3d(inputs, outputs, (1, 1, 1))
        self.pre_norm = nn.BatchNorm3d(outputs)


class _Last(nn.Module):
    """The last convolution, which PyTorchVideo's checkpoints keep with the head's pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pool = _Pool(inputs, outputs)

    def forward(self, clip: Tensor) -> Tensor:
        return torch.relu(self.pool.pre_norm(self.pool.pre_conv(clip)))


def _stage(inputs: int, outputs: int, depth: int) -> ResStage:
    """The first block halves height and width; every other block, from the first on, has squeeze-and-excitation."""
    blocks = []
    for i in range(depth):
        stride = 2 if i == 0 else 1
        projection = conv3d(inputs, outputs, (1, 1, 1), (1, stride, stride)) if i == 0 else None
        norm = nn.BatchNorm3d(outputs) if inputs != outputs else None
        blocks.append(ResBlock(_Bottleneck(inputs, outputs, stride, squeeze=i % 2 == 0), projection, norm))
        inputs = outputs
    return ResStage(blocks)


def _rounded(width: float) -> int:
    """To a multiple of 8, at least 8, and never less than 90 % of `width`."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded
