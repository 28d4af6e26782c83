"""PaPr on ConvNeXt: the depthwise convolutions see every pixel, the MLPs only the foreground, the rest becomes zero."""

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
    "stages.0.blocks.0.conv_dw": "the depthwise convolution",
    "stages.0.blocks.0.norm": "the norm before the MLP",
    "stages.0.blocks.0.mlp.fc1": "an MLP that treats each pixel alone",
    "stages.0.blocks.0.use_conv_mlp": "whether the MLP is made of linear layers or 1×1 convolutions",
    "head": "the classifier",
}
_UNWANTED: Final = {
    "stages.0.blocks.0.mlp.grn": "global response normalisation sums over all pixels",
}


class PaprConvNeXt(StagedModel):
    """A timm `ConvNeXt` whose MLPs run on the foreground; the background becomes exactly 0, residual included.

    Args:
        model: the network; its own forward runs.
        keep: keep ratio z in (0, 1]; `int(z * rows * columns)` pixels of each stage are foreground.
        stages: the stages that are pruned; None for all.

    Raises:
        ConfigError: the keep ratio or a stage is out of range.
        ExportError: the model lacks a part that is needed.
    """

    def __init__(self, model: nn.Module, keep: float, stages: Sequence[int] | None = None) -> None:
        require_structure(model, "a ConvNeXt", _NEEDED, _UNWANTED)
        super().__init__(model, cast("Iterable[Any]", model.stages), keep, stages)

    def prune(self, hooks: ExitStack, blocks: Any, foreground: StageForeground) -> None:
        """Hook the blocks of one stage."""

        def choose(image: Tensor) -> Tensor:
            foreground.choose((image.shape[2], image.shape[3]))
            return image

        def to_image(pixels: Tensor) -> Tensor:
            image: Tensor = pixels.transpose(1, 2).unflatten(2, foreground.grid)
            return image

        def take_from_image(image: Tensor) -> Tensor:
            return foreground.take(image.flatten(2).transpose(1, 2))

        def clear_background(image: Tensor) -> Tensor:
            return to_image(foreground.put(take_from_image(image)))

        def take(pixels: Tensor) -> Tensor:
            return foreground.take(pixels.flatten(1, 2))

        def put(rows: Tensor) -> Tensor:
            pixels: Tensor = foreground.put(rows).unflatten(1, foreground.grid)
            return pixels

        def take_as_image(image: Tensor) -> Tensor:
            return take_from_image(image).transpose(1, 2).unsqueeze(2)

        def put_from_image(image: Tensor) -> Tensor:
            return to_image(foreground.put(image.squeeze(2).transpose(1, 2)))

        hooks.enter_context(changed_input(blocks[0], choose))
        # Only the stage's first block can have a background in its residual: it gives none to the blocks behind it.
        hooks.enter_context(changed_output(blocks[0], clear_background))
        for block in blocks:
            hooks.enter_context(changed_input(block.norm, take_as_image if block.use_conv_mlp else take))
            hooks.enter_context(changed_output(block.mlp, put_from_image if block.use_conv_mlp else put))
