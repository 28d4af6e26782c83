"""Seeded random weights that keep activations and significance maps lively, for any network."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def randomise_(model: Model, seed: int = 0) -> Model:
    """Fill a network with random weights, in place.

    Args:
        model: any network of this package, timm or transformers.
        seed: the same seed gives the same weights.

    Returns:
        The same network.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, mean: float, std: float) -> None:
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    for module in model.modules():
        is_norm = "Norm" in type(module).__name__
        for name, parameter in module.named_parameters(recurse=False):
            if is_norm and name == "weight":
                normal(parameter, 1.0, 0.1)
            elif name == "gamma":
                normal(parameter, 0.5, 0.1)
            elif parameter.ndim == 1:
                normal(parameter, 0.0, 0.08)
            elif isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
                normal(parameter, 0.0, (parameter.numel() / parameter.shape[0]) ** -0.5)
            else:
                normal(parameter, 0.0, 0.25)
        for name, buffer in module.named_buffers(recurse=False):
            if name == "running_mean":
                normal(buffer, 0.0, 0.1)
            elif name == "running_var":
                normal(buffer, 0.0, 0.2)
                buffer.exp_()
    return model
