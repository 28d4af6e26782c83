"""A model, the small ConvNet that proposes its significant patches, and what both make of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vpp_deploy.errors import ConfigError, ExportError, UsageError
from vpp_deploy.exporters.classifier_output import ClassifierOutput
from vpp_deploy.families.papr.convnext import PaprConvNeXt
from vpp_deploy.families.papr.merging import merge_tokens_of
from vpp_deploy.families.papr.structure import part
from vpp_deploy.families.papr.swin import PaprSwin
from vpp_deploy.families.papr.vit import PaprVit

PrunedModel = nn.Module
"""`PaprVit`, `PaprConvNeXt`, `PaprSwin` or `PaprVideoMae`."""


class PaprModel(nn.Module):
    """An off-the-shelf model pruned with PaPr (Mahmud et al., ECCV 2024). No training is needed.

    Args:
        base: a timm `VisionTransformer`, `ConvNeXt` or `SwinTransformer`, or a transformers
            `VideoMAEForVideoClassification`; its weights stay as they are.
        proposal: gives features `[B, K, h, w]` of an image (clips: `[B, K, t, h, w]`); None if features are always
            passed in, or if nothing is pruned.
        keep: keep ratio z in (0, 1]; 1 prunes nothing.
        stages: stages of a ConvNeXt or Swin that are pruned; None for all.
        merge: tokens that each merging block of a ViT merges (ToMe); 0 for none.

    Raises:
        ConfigError: keep ratio, stages or merged tokens out of range.
        ExportError: the base model does not have the structure of any of these families.
    """

    def __init__(
        self,
        base: nn.Module,
        proposal: nn.Module | None,
        keep: float,
        stages: Sequence[int] | None = None,
        merge: int = 0,
    ) -> None:
        super().__init__()
        self.base = pruned(base, keep, stages, merge)
        self.proposal = proposal
        self.keep = keep
        self.eval()

    def forward(self, image: Tensor, features: Tensor | None = None) -> ClassifierOutput:
        """Classify an image or a clip.

        Args:
            image: `[B, 3, H, W]`, or a clip `[B, 3, T, H, W]`, normalised as the base model was trained.
            features: of the proposal, if they are known already.

        Raises:
            UsageError: there is neither a proposal nor features.
            ExportError: the keep ratio keeps no patch at this size.
        """
        if self.keep < 1 and features is None:
            if self.proposal is None:
                raise UsageError("a keep ratio below 1 needs a proposal network or its features")
            features = self.proposal(image)
        output: ClassifierOutput = self.base(image, features)
        return output


def point_names(model: PaprModel) -> tuple[str, ...]:
    """Names of the places where a model prunes, in the order of `ClassifierOutput`."""
    base: Any = model.base
    if model.keep == 1:
        return ()
    if hasattr(base, "stages"):
        return tuple(f"stage_{stage}" for stage in base.stages)
    return ("tubelets",) if hasattr(base, "grid") else ("patches",)


def pruned(base: nn.Module, keep: float, stages: Sequence[int] | None = None, merge: int = 0) -> PrunedModel:
    """The base model in the wrapper of its family; arguments and errors as in `PaprModel`."""
    family = architecture_of(base)
    if stages is not None and family not in ("convnext", "swin"):
        raise ConfigError(f"stages {list(stages)}: {type(base).__name__} has no stages to choose from")
    if merge and family != "vit":
        raise ConfigError(f"merge {merge}: tokens can be merged in ViTs only, not in {type(base).__name__}")
    if family == "vit":
        return PaprVit(merge_tokens_of(base, keep, merge) if merge else base, keep)
    if family == "convnext":
        return PaprConvNeXt(base, keep, stages)
    if family == "swin":
        return PaprSwin(base, keep, stages)
    from vpp_deploy.families.papr.videomae import PaprVideoMae

    return PaprVideoMae(base, keep)


def architecture_of(base: nn.Module) -> str:
    """`vit`, `convnext`, `swin` or `videomae`, by the parts that a model has.

    Raises:
        ExportError: none of them.
    """
    signs = {
        "videomae": "videomae",
        "vit": "blocks.0.attn",
        "swin": "layers.0.blocks.0",
        "convnext": "stages.0.blocks.0",
    }
    for family, path in signs.items():
        if part(base, path) is not None:
            return family
    raise ExportError(
        f"{type(base).__name__} cannot be pruned: it has neither blocks.0.attn (ViT), stages.0.blocks.0 (ConvNeXt), "
        "layers.0.blocks.0 (Swin) nor videomae (VideoMAE)"
    )
