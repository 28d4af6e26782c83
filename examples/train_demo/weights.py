"""Trained weights in the form in which they are shipped."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from vpp_deploy.families.vpp.checkpoint import official_state_dict
from vpp_deploy.families.vpp.detector import VppDetector


def save_weights(detector: VppDetector, path: Path) -> None:
    """Write the detector's tensors in half precision, which they lose next to nothing by; the models read float32.

    Args:
        detector: the trained detector.
        path: the target, `.safetensors`.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in official_state_dict(detector).items()
    }
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} does not fit into half precision")
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file(tensors, temporary)
    temporary.replace(path)
