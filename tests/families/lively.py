"""Random weights that make tokens and scores differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def made_lively(make: Callable[[], Network], seed: int = 0) -> Network:
    """A new network; its initial weights are mostly too small to tell tokens apart, so noise is added to each."""
    torch.manual_seed(seed)
    network = make()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return network
