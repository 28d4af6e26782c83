"""SlowOnly R50 and R101 (the slow pathway of SlowFast, Feichtenhofer et al., ICCV 2019), as proposals for clips.

Parameter names are PyTorchVideo's: `blocks.0` stem, `blocks.1` to `blocks.4` residual stages.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from vpp_deploy.families.papr.residual3d import ResBlock, ResStage, conv3d

DEPTHS: Final = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_STEM: Final = 64
_EXPANSION: Final = 4
_TEMPORAL_KERNELS: Final = (1, 1, 3, 3)
"""Of the first convolution of each stage's bottlenecks."""


class SlowOnly(nn.Module):
    """A 3-D ResNet that never strides over time.

    Args:
        layers: 50 or 101.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_Stem()]
        width, inner = _STEM, _STEM
        for stage, depth in enumerate(DEPTHS[layers]):
            outputs = inner * _EXPANSION
            blocks.append(_stage(width, inner, outputs, depth, 1 if stage == 0 else 2, _TEMPORAL_KERNELS[stage]))
            width, inner = outputs, 2 * inner
        self.blocks = nn.ModuleList(blocks)

    def forward(self, clip: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, 2048, T, H/32, W/32]`, not negative."""
        for block in self.blocks:
            clip = block(clip)
        return clip


class _Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv3d(3, _STEM, (1, 7, 7), (1, 2, 2))
        self.norm = nn.BatchNorm3d(_STEM)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        pooled: Tensor = self.pool(torch.relu(self.norm(self.conv(clip))))
        return pooled


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, temporal_kernel: int) -> None:
        super().__init__()
        self.conv_a = conv3d(inputs, inner, (temporal_kernel, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = conv3d(inner, inner, (1, 3, 3), (1, stride, stride))
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = conv3d(inner, outputs, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(outputs)

    def forward(self, clip: Tensor) -> Tensor:
        clip = torch.relu(self.norm_a(self.conv_a(clip)))
        clip = torch.relu(self.norm_b(self.conv_b(clip)))
        out: Tensor = self.norm_c(self.conv_c(clip))
        return out


def _stage(inputs: int, inner: int, outputs: int, depth: int, stride: int, temporal_kernel: int) -> ResStage:
    blocks = []
    for i in range(depth):
        step = stride if i == 0 else 1
        projection = conv3d(inputs, outputs, (1, 1, 1), (1, step, step)) if i == 0 else None
        norm = nn.BatchNorm3d(outputs) if i == 0 else None
        blocks.append(ResBlock(_Bottleneck(inputs, inner, outputs, step, temporal_kernel), projection, norm))
        inputs = outputs
    return ResStage(blocks)
