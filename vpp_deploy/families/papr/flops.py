"""How much a model pruned with PaPr computes, see `vpp_deploy.exporters.flops`, and how many tokens its stages have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vpp_deploy.exporters.classifier_output import ClassifierOutput
from vpp_deploy.exporters.flops import count_multiply_accumulates
from vpp_deploy.families.papr.merging import MergingBlocks
from vpp_deploy.families.papr.model import PaprModel


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
    image = (1, *shape)
    with _dense(model.base):
        dense, _ = count_multiply_accumulates(model.base, image)
    pruned, output = count_multiply_accumulates(model, image)
    proposal = 0
    if model.proposal is not None and model.keep < 1:
        proposal, _ = count_multiply_accumulates(model.proposal, image)
    assert isinstance(output, ClassifierOutput)
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
