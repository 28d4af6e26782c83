"""Small frozen ConvNets whose last features propose the significant patches."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Final

import timm
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.errors import ExportError
from vpp_deploy.models.papr.slowonly import SlowOnly
from vpp_deploy.models.papr.x3d import X3d

IMAGE_PROPOSALS: Final = {
    "mobileone_s0": "mobileone_s0.apple_in1k",
    "mobileone_s2": "mobileone_s2.apple_in1k",
    "mobileone_s4": "mobileone_s4.apple_in1k",
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet152": "resnet152.tv_in1k",
}
"""timm's name, with the tag of the pretrained weights, of each proposal for images."""


@dataclass(frozen=True)
class ClipSize:
    """What clips a proposal sees.

    Attributes:
        frames: the clip is resized to this many frames.
        side: and to this height and width, in pixels.
        any_length: a clip that has this height and width already keeps all its frames.
    """

    frames: int
    side: int
    any_length: bool = False


CLIP_PROPOSALS: Final = {
    "x3d_s": ClipSize(8, 160),
    "x3d_m": ClipSize(8, 224, any_length=True),
    "slowonly_r50": ClipSize(8, 224),
    "slowonly_r101": ClipSize(8, 224),
}
PROPOSALS: Final = (*IMAGE_PROPOSALS, *CLIP_PROPOSALS)


class ImageProposal(nn.Module):
    """A timm ConvNet up to its last activation.

    Args:
        network: with timm's `forward_features`, e.g. a MobileOne or a ResNet.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """`[B, 3, H, W]` to `[B, K, H/32, W/32]`, not negative."""
        network: Any = self.network
        features: Tensor = network.forward_features(image)
        return features


class ClipProposal(nn.Module):
    """A 3-D ConvNet on a clip resized to the size that it was trained for.

    Args:
        network: gives features `[B, K, t, h, w]` of a clip.
        size: what clips it sees.
    """

    def __init__(self, network: nn.Module, size: ClipSize) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.eval()

    def forward(self, clip: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, K, t, h, w]`, not negative."""
        features: Tensor = self.network(self.resize(clip))
        return features

    def resize(self, clip: Tensor) -> Tensor:
        """The clip that the network sees: trilinear, corners aligned."""
        side = (self.size.side, self.size.side)
        frames = clip.shape[2] if self.size.any_length and tuple(clip.shape[3:]) == side else self.size.frames
        if tuple(clip.shape[2:]) == (frames, *side):
            return clip
        return F.interpolate(clip, size=(frames, *side), mode="trilinear", align_corners=True)


def proposal(name: str, pretrained: bool = False) -> ImageProposal | ClipProposal:
    """A proposal by name, ready for inference (branches fused), with PyTorch's initial weights or pretrained ones.

    Args:
        name: one of `PROPOSALS`.
        pretrained: fetch weights through timm (needs a network; image proposals only).

    Raises:
        ExportError: unknown name, or pretrained weights of a clip proposal, which no library offers.
    """
    if name in IMAGE_PROPOSALS:
        network = timm.create_model(IMAGE_PROPOSALS[name] if pretrained else name, pretrained=pretrained)
        return ImageProposal(fused(network.eval()))
    if name not in CLIP_PROPOSALS:
        near = difflib.get_close_matches(name, PROPOSALS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(PROPOSALS)}"
        raise ExportError(f"unknown proposal {name!r}; {hint}")
    if pretrained:
        raise ExportError(f"proposal {name}: no library offers its weights; load a PyTorchVideo checkpoint")
    clip_network = X3d() if name.startswith("x3d") else SlowOnly(int(name.removeprefix("slowonly_r")))
    return ClipProposal(clip_network, CLIP_PROPOSALS[name])


def fused(network: nn.Module) -> nn.Module:
    """The network with the branches of every re-parameterisable block made one; others are returned as they are."""
    if not any(hasattr(module, "reparameterize") for module in network.modules()):
        return network
    with_one_branch: nn.Module = reparameterize_model(network).requires_grad_(False)
    return with_one_branch
