"""Seeded random weights that keep activations, selections and detections lively: for demos, tests and benchmarks.

PyTorch's default initialisation gives an untrained detector without any detection and with nearly constant selection
scores; nothing could be tested with that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vpp_deploy.families.vpp.detector import VppDetector

_GAINS = (
    # (part of the parameter's name, standard deviation relative to 1 / sqrt(fan in))
    ("sampling_offsets", 0.4),
    ("TransformerEncoderLayer.self_attn.out_proj", 0.35),
    ("TransformerEncoderLayer.linear2", 0.35),
    ("transformer_decoder.layers", 0.45),
    ("selective_modules", 2.0),
    ("matching_module.selector", 2.0),
    ("cls_embed", 2.2),
    ("mask_embed", 1.25),
    ("spm.stem", 1.4),
    ("spm.conv", 1.4),
    ("backbone.up", 1.4),
)
_NO_OBJECT_BIAS = 6.0


@torch.no_grad()
def randomise_(detector: VppDetector, seed: int = 0) -> VppDetector:
    """Fill a detector with random weights, in place.

    Args:
        detector: any VPP detector.
        seed: the same seed gives the same weights.

    Returns:
        The same detector.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, mean: float, std: float) -> None:
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    for name, module in detector.named_modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d):
            normal(module.weight, 1.0, 0.1)
            normal(module.bias, 0.0, 0.08)
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                normal(module.running_mean, 0.0, 0.1)
                normal(module.running_var, 0.0, 0.2)
                module.running_var.exp_()
            continue
        for key, parameter in module.named_parameters(name, recurse=False):
            if key.endswith("gamma"):
                normal(parameter, 0.0, 0.1)
            elif "patch_embed" in key:
                normal(parameter, 0.0, 0.007 if parameter.ndim > 1 else 0.08)
            elif parameter.ndim == 1:
                normal(parameter, 0.0, 1.5 if key.endswith("sampling_offsets.bias") else 0.08)
            elif isinstance(module, nn.Embedding):
                normal(parameter, 0.0, 1.0 if "query" in key else 0.5)
            elif key.endswith(("pos_embed", "level_embed")):
                normal(parameter, 0.0, 0.25)
            else:
                gain = next((gain for part, gain in _GAINS if part in key), 1.0)
                normal(parameter, 0.0, gain * (parameter.numel() / parameter.shape[0]) ** -0.5)
    detector.panoptic_head.cls_embed.bias[-1] += _NO_OBJECT_BIAS
    return detector
