"""Small frozen ConvNets whose last features propose the significant patches."""

from __future__ import annotations

from typing import Any

import timm
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.families.papr.names import CLIP_PROPOSALS, IMAGE_PROPOSALS, ClipSize, proposal_name
from vpp_deploy.families.papr.slowonly import SlowOnly
from vpp_deploy.families.papr.x3d import X3d


class ImageProposal(nn.Module):
    """A timm ConvNet up to its last activation.

    Args:
        network: with timm's `forward_features`, e.g. a MobileOne or a ResNet; a class head is of no use.
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


def proposal(name: str) -> ImageProposal | ClipProposal:
    """A proposal by name, ready for inference (branches fused), with PyTorch's initial weights.

    Args:
        name: one of `PROPOSALS`.

    Raises:
        ExportError: unknown name.
    """
    name = proposal_name(name)
    if name in IMAGE_PROPOSALS:
        return ImageProposal(fused(image_network(name).eval()))
    clip_network = X3d() if name.startswith("x3d") else SlowOnly(int(name.removeprefix("slowonly_r")))
    return ClipProposal(clip_network, CLIP_PROPOSALS[name])


def image_network(name: str) -> nn.Module:
    """The network of one of `IMAGE_PROPOSALS`, without a class head; MobileOne with its branches."""
    network: nn.Module = timm.create_model(name, num_classes=0)
    return network


def fused(network: nn.Module) -> nn.Module:
    """The network with the branches of every re-parameterisable block made one; others are returned as they are."""
    if not any(hasattr(module, "reparameterize") for module in network.modules()):
        return network
    with_one_branch: nn.Module = reparameterize_model(network).requires_grad_(False)
    return with_one_branch
