"""Hierarchical models (ConvNeXt, Swin): each stage is pruned to a foreground of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.families.papr.foreground import StageForeground
from vpp_deploy.families.papr.significance import checked_keep, mean_map


class StagedModel(nn.Module, ABC):
    """A library's model, pruned stage by stage.

    Args:
        model: the network; its own forward runs.
        layers: its stages, each with `blocks`.
        keep: keep ratio z in (0, 1]; `int(z * rows * columns)` pixels of each stage are foreground.
        stages: the stages that are pruned; None for all.

    Raises:
        ConfigError: the keep ratio or a stage is out of range.
    """

    def __init__(self, model: nn.Module, layers: Iterable[Any], keep: float, stages: Sequence[int] | None) -> None:
        super().__init__()
        self.model, self.keep = model, checked_keep(keep)
        self.selection = PatchSelection()
        self.layers: list[Any] = list(layers)
        self.stages = checked_stages(stages, len(self.layers))

    @abstractmethod
    def prune(self, hooks: ExitStack, blocks: Any, foreground: StageForeground) -> None:
        """Hook the blocks of one stage, until `hooks` is closed."""

    def forward(self, image: Tensor, features: Tensor | None = None) -> ClassifierOutput:
        """Classify; arguments as in `PaprVit`."""
        if self.keep == 1:
            return ClassifierOutput(self.model(image), (), ())
        assert features is not None
        base = mean_map(features)
        foregrounds = [StageForeground(base, self.keep, stage, self.selection) for stage in self.stages]
        with ExitStack() as hooks:
            for stage, foreground in zip(self.stages, foregrounds, strict=True):
                self.prune(hooks, self.layers[stage].blocks, foreground)
            logits = self.model(image)
        return ClassifierOutput(logits, *zip(*((f.significance, f.kept) for f in foregrounds), strict=True))


def checked_stages(stages: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The stages to prune in ascending order; None means all.

    Raises:
        ConfigError: empty, or a stage that the model does not have.
    """
    if stages is None:
        return tuple(range(count))
    if not stages or any(not 0 <= stage < count for stage in stages):
        raise ConfigError(f"stages {list(stages)}: name one or more of 0 to {count - 1}")
    return tuple(sorted(set(stages)))
