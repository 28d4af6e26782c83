"""PaPr on Swin transformers: attention sees every pixel, the MLPs only the foreground."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final, cast

from torch import Tensor, nn

from vpp_deploy.families.papr.foreground import StageForeground
from vpp_deploy.families.papr.hooks import changed_input, changed_output
from vpp_deploy.families.papr.staged import StagedModel
from vpp_deploy.families.papr.structure import require_structure

_NEEDED: Final = {
    "layers.0.blocks.0.attn": "window attention",
    "layers.0.blocks.0.norm2": "the norm before the MLP",
    "layers.0.blocks.0.mlp.fc1": "an MLP that treats each pixel alone",
    "layers.0.blocks.0.window_size": "windows",
    "head": "the classifier",
}
_UNWANTED: Final = {
    "layers.0.blocks.0.attn.logit_scale": "Swin V2 has its norms after attention and MLP",
}


class PaprSwin(StagedModel):
    """A timm `SwinTransformer` whose MLPs run on the foreground; the background keeps its value after attention.

    Args:
        model: the transformer; its own forward runs.
        keep: keep ratio z in (0, 1]; `int(z * rows * columns)` pixels of each stage are foreground.
        stages: the stages that are pruned; None for all.

    Raises:
        ConfigError: the keep ratio or a stage is out of range.
        ExportError: the model lacks a part that is needed.
    """

    def __init__(self, model: nn.Module, keep: float, stages: Sequence[int] | None = None) -> None:
        require_structure(model, "a Swin transformer", _NEEDED, _UNWANTED)
        super().__init__(model, cast("Iterable[Any]", model.layers), keep, stages)

    def prune(self, hooks: ExitStack, blocks: Any, foreground: StageForeground) -> None:
        """Hook the blocks of one stage."""

        def choose(pixels: Tensor) -> Tensor:
            foreground.choose((pixels.shape[1], pixels.shape[2]))
            return pixels

        hooks.enter_context(changed_input(blocks[0], choose))
        for block in blocks:
            hooks.enter_context(changed_input(block.norm2, foreground.take))
            hooks.enter_context(changed_output(block.mlp, foreground.put))
