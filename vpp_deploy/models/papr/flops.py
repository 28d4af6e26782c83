"""How much a pruned model computes, and how many tokens each of its stages has.

Counted are multiply-accumulates of convolutions and matrix products, as the papers' "GFLOPs" count them; norms,
activations and selection are left out (below 1 %). Nothing is computed: shapes alone run through the model, on
PyTorch's meta device, so a model built there takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vpp_deploy.models.papr.merging import MergingBlocks
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.output import PaprOutput


@dataclass(frozen=True)
class StageTokens:
    """Patches of one pruned stage.

    Attributes:
        total: how many there are.
        kept: how many of them stay.
    """

    total: int
    kept: int


@dataclass(frozen=True)
class FlopReport:
    """Cost of one image or clip.

    Attributes:
        dense: multiply-accumulates of the base model, neither pruned nor merging.
        pruned: of the pruned base model and its proposal together.
        proposal: of the proposal alone.
        stages: patches of each pruned stage, empty when nothing is pruned.
    """

    dense: int
    pruned: int
    proposal: int
    stages: tuple[StageTokens, ...]


def count_flops(model: PaprModel, shape: Sequence[int]) -> FlopReport:
    """Count what a model computes.

    Args:
        model: on any device; it is not changed and none of its weights are used.
        shape: of one input without its batch dimension: `[3, H, W]`, or `[3, T, H, W]` of a clip.

    Raises:
        ExportError: the keep ratio keeps no patch at this size.
    """
    image = torch.empty(1, *shape, device="meta")
    with _dense(model.base):
        dense, _ = _count(model.base, image)
    pruned, output = _count(model, image)
    proposal = _count(model.proposal, image)[0] if model.proposal is not None and model.keep < 1 else 0
    assert isinstance(output, PaprOutput)
    stages = [
        StageTokens(significance.flatten(1).shape[1], kept.shape[1])
        for significance, kept in zip(output.significance, output.kept, strict=True)
    ]
    return FlopReport(dense, pruned, proposal, tuple(stages))


@contextmanager
def _dense(base: Any) -> Iterator[None]:
    """Inside the block the base model neither prunes nor merges."""
    keep = base.keep
    merging = [module for module in base.modules() if isinstance(module, MergingBlocks)]
    schedules = [blocks.schedule for blocks in merging]
    base.keep = 1.0
    for blocks in merging:
        blocks.schedule = (0,) * len(blocks.schedule)
    try:
        yield
    finally:
        base.keep = keep
        for blocks, schedule in zip(merging, schedules, strict=True):
            blocks.schedule = schedule


def _count(module: nn.Module, image: Tensor) -> tuple[int, object]:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    # The plain form of attention is the only one that every device counts alike.
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = functional_call(module, on_meta, (image,))
    return counter.get_total_flops() // 2, output
