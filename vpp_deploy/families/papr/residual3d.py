"""What X3D and SlowOnly have in common: residual stages of 3-D bottlenecks, named as in PyTorchVideo's checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Size3 = tuple[int, int, int]


class ResBlock(nn.Module):
    """`relu(shortcut(x) + branch2(x))`.

    Args:
        branch2: the bottleneck.
        branch1_conv: a projection of the shortcut; None for the identity.
        branch1_norm: a norm behind the projection; None for none.
    """

    def __init__(self, branch2: nn.Module, branch1_conv: nn.Module | None, branch1_norm: nn.Module | None) -> None:
        super().__init__()
        self.branch1_conv, self.branch1_norm, self.branch2 = branch1_conv, branch1_norm, branch2

    def forward(self, clip: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C', T, H', W']`."""
        shortcut = clip if self.branch1_conv is None else self.branch1_conv(clip)
        if self.branch1_norm is not None:
            shortcut = self.branch1_norm(shortcut)
        return torch.relu(shortcut + self.branch2(clip))


class ResStage(nn.Module):
    """Residual blocks one after the other.

    Args:
        blocks: `ResBlock` modules.
    """

    def __init__(self, blocks: Sequence[ResBlock]) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(blocks)

    def forward(self, clip: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C', T, H', W']`."""
        for block in self.res_blocks:
            clip = block(clip)
        return clip


def conv3d(inputs: int, outputs: int, kernel: Size3, stride: Size3 = (1, 1, 1), groups: int = 1) -> nn.Conv3d:
    """A convolution without bias whose padding keeps the size at stride 1."""
    t, h, w = kernel
    return nn.Conv3d(inputs, outputs, kernel, stride, (t // 2, h // 2, w // 2), groups=groups, bias=False)
