"""Linear layers that meet only other linear layers, as one: what an export traces instead of the model as trained.

The backbone's map at stride 4 is a sum (upsampled map, stem, resized tokens) that only a batch norm and the pixel
decoder's 1×1 lateral convolution read. All of that is linear, so the convolution may come first, at the smaller channel
count and, for the tokens, before they are resized: 4.2 G multiply-accumulates become 1.9 G at 384×640 (ViT-S), and the
map of D channels at stride 4 is never made. The batch norms at strides 8 to 32 go into the convolutions that read them.
"""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.pixel_decoder import ConvNorm


def folded(detector: VppDetector) -> VppDetector:
    """A copy that computes the same, but for rounding, with less work. Its parameters are not the official ones.

    Args:
        detector: in evaluation mode; its batch norms use their running statistics.
    """
    detector = deepcopy(detector)
    backbone, decoder = detector.backbone, detector.panoptic_head.pixel_decoder
    readers = [cast("ConvNorm", reader) for reader in (*decoder.input_convs, *decoder.lateral_convs)]
    norms = [backbone.norm4, backbone.norm3, backbone.norm2, backbone.norm1]  # strides 32, 16, 8, 4, as they are read
    with torch.no_grad():
        for norm, reader in zip(norms, readers, strict=True):
            reader.conv = _as_one(cast("nn.BatchNorm2d", norm), cast("nn.Conv2d", reader.conv))
        lateral = cast("nn.Conv2d", readers[-1].conv)
        weight, stem, upsampling = lateral.weight[:, :, 0, 0], backbone.spm.fc1, backbone.up
        bias = weight @ (_bias(stem) + _bias(upsampling)) + _bias(lateral)
        backbone.spm.fc1 = _pointwise(weight @ stem.weight[:, :, 0, 0], bias)
        backbone.up = _upsampling(torch.einsum("om,imyx->ioyx", weight, upsampling.weight))
        backbone.lateral4 = _pointwise(weight)
    readers[-1].conv = nn.Identity()
    backbone.norm1 = backbone.norm2 = backbone.norm3 = backbone.norm4 = nn.Identity()
    return detector.eval()


def _as_one(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """A batch norm and the 1×1 convolution that reads it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = conv.weight[:, :, 0, 0]
    return _pointwise(weight * scale, weight @ (norm.bias - norm.running_mean * scale) + _bias(conv))


def _bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    return torch.zeros(conv.out_channels) if conv.bias is None else conv.bias


def _pointwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    conv.weight.copy_(weight[:, :, None, None])
    if bias is not None and conv.bias is not None:
        conv.bias.copy_(bias)
    return conv


def _upsampling(weight: Tensor) -> nn.ConvTranspose2d:
    """From `[I, O, 2, 2]`, without bias."""
    conv = nn.ConvTranspose2d(weight.shape[0], weight.shape[1], 2, stride=2, bias=False)
    conv.weight.copy_(weight)
    return conv
