"""How much a model computes.

Counted are multiply-accumulates of convolutions and matrix products, as papers count "GFLOPs"; norms, activations and
selection are left out (below 1 %). Nothing is computed: shapes alone run through the model, on PyTorch's meta device,
so a model built there takes no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_multiply_accumulates(module: nn.Module, *shapes: Sequence[int]) -> tuple[int, Any]:
    """Multiply-accumulates of one run of a module, and what it gives, on the meta device.

    Args:
        module: on any device; it is not changed and none of its weights are used.
        shapes: of its float32 inputs, batch included.
    """
    inputs = tuple(torch.empty(*shape, device="meta") for shape in shapes)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    # The plain form of attention is the only one that every device counts alike.
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = functional_call(module, on_meta, inputs)
    return counter.get_total_flops() // 2, output
