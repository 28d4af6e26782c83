"""Models that can be pruned, by name, and everything it takes to make one: architecture, proposal, size, weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn

from vpp_deploy.errors import CheckpointError, ExportError
from vpp_deploy.models.papr.model import PaprModel, family_of
from vpp_deploy.models.papr.proposals import CLIP_PROPOSALS, PROPOSALS, ClipProposal, ImageProposal, proposal
from vpp_deploy.models.papr.random_weights import randomise_
from vpp_deploy.models.papr.weights import load_base, load_proposal

PREFIX: Final = "papr:"
IMAGE_PROPOSAL: Final = "mobileone_s0"
CLIP_PROPOSAL: Final = "x3d_m"
_STRIDE: Final = {"convnext": 32, "swin": 32}
"""Pixels per token of the last stage."""

Size = tuple[int, int]
WeightSource = Path | int | None
"""A checkpoint file, a seed for random weights, or None for the published weights (needs a network)."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One model.

    Attributes:
        name: without the prefix `papr:`.
        model: timm's name with the tag of its weights; for clips, the name of the published transformers checkpoint.
        arguments: that the library's constructor gets beyond its defaults.
        clips: whether it classifies clips.
        published: whether weights can be fetched by name; otherwise they are the authors' files.
    """

    name: str
    model: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    clips: bool = False
    published: bool = True

    @property
    def proposal(self) -> str:
        """The proposal that the paper uses with it."""
        return CLIP_PROPOSAL if self.clips else IMAGE_PROPOSAL


def _mae(size: str, patch: int) -> CatalogueEntry:
    model = f"vit_{size}_patch{patch}_224"
    return CatalogueEntry(f"mae_{model}", model, {"global_pool": "avg", "fc_norm": True}, published=False)


def _video_mae(size: str, width: int, layers: int, heads: int) -> CatalogueEntry:
    arguments = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "num_labels": 400,
    }
    return CatalogueEntry(f"videomae_{size}", f"MCG-NJU/videomae-{size}-finetuned-kinetics", arguments, clips=True)


_TIMM: Final = (
    "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "vit_large_patch16_224.augreg_in21k_ft_in1k",
    "vit_medium_patch16_gap_256.sw_in12k_ft_in1k",
    "vit_medium_patch16_gap_384.sw_in12k_ft_in1k",
    "deit_small_patch16_224.fb_in1k",
    "convnext_base.fb_in1k",
    "convnext_base.fb_in22k_ft_in1k",
    "convnext_large.fb_in1k",
    "convnext_large.fb_in22k_ft_in1k",
    "swin_base_patch4_window7_224.ms_in1k",
    "swin_base_patch4_window7_224.ms_in22k_ft_in1k",
    "swin_large_patch4_window7_224.ms_in22k_ft_in1k",
    "swin_large_patch4_window12_384.ms_in22k_ft_in1k",
)
CATALOGUE: Final = {
    entry.name: entry
    for entry in (
        *(CatalogueEntry(name, name) for name in _TIMM),
        _mae("base", 16),
        _mae("large", 16),
        _mae("huge", 14),
        _video_mae("base", 768, 12, 12),
        _video_mae("large", 1024, 24, 16),
    )
}
"""The paper's models. Every other timm model whose structure fits can be named too."""


def lookup(name: str) -> CatalogueEntry:
    """The entry of a name such as `papr:vit_base_patch16_224.augreg_in21k_ft_in1k`; the prefix may be left out.

    Raises:
        ExportError: neither in the catalogue nor in timm; names the nearest ones.
    """
    bare = name.removeprefix(PREFIX)
    if bare in CATALOGUE:
        return CATALOGUE[bare]
    if timm.is_model(bare.partition(".")[0]) and ("." not in bare or timm.models.is_model_pretrained(bare)):
        return CatalogueEntry(bare, bare, published=timm.models.is_model_pretrained(bare))
    near = difflib.get_close_matches(bare, [*CATALOGUE, *timm.list_models(), *timm.list_pretrained()], n=3)
    hint = f"did you mean {' or '.join(PREFIX + match for match in near)}?" if near else "see timm's list of models"
    raise ExportError(f"unknown model {name!r}; {hint}")


def papr_model(
    name: str,
    keep: float,
    *,
    size: Size | None = None,
    proposal_name: str | None = None,
    stages: Sequence[int] | None = None,
    merge: int = 0,
    weights: WeightSource = None,
    proposal_weights: WeightSource = None,
) -> PaprModel:
    """A pruned model by name, ready for inference.

    Args:
        name: see `lookup`.
        keep: keep ratio in (0, 1].
        size: height and width of images; None for what the model was trained with.
        proposal_name: None for the entry's default.
        stages: of a ConvNeXt or Swin; None for all.
        merge: tokens that each merging block of a ViT merges.
        weights: of the base model.
        proposal_weights: of the proposal; not looked at when the keep ratio is 1.

    Raises:
        ExportError: unknown model or proposal, a structure that cannot be pruned, or a size that does not fit.
        ConfigError: keep ratio, stages or merge out of range.
        CheckpointError: weights cannot be fetched or read, or do not fit.
    """
    entry = lookup(name)
    chosen = proposal_name or entry.proposal
    if chosen in PROPOSALS and (chosen in CLIP_PROPOSALS) != entry.clips:
        kind = "clips" if entry.clips else "images"
        raise ExportError(f"proposal {chosen} does not fit {entry.name}, which classifies {kind}")
    with torch.device("meta"):  # what does not fit should be known before anything is fetched
        trial = base_model(entry)
        PaprModel(trial, None, keep, stages, merge)
    if size is not None:
        check_size(entry, trial, size)
    any_size = family_of(trial) == "convnext"
    base = base_model(entry, None if any_size else size, pretrained=weights is None)
    _fill(base, entry, weights)
    return PaprModel(base, _proposal(chosen, proposal_weights) if keep < 1 else None, keep, stages, merge)


def base_model(entry: CatalogueEntry, size: Size | None = None, pretrained: bool = False) -> nn.Module:
    """The library's model.

    Args:
        entry: which.
        size: height and width; None for what the model was trained with, and for ConvNets, which take any.
        pretrained: fetch the published weights (needs a network); otherwise the library's initial ones.

    Raises:
        CheckpointError: the weights are not published under a name, or could not be fetched.
    """
    if pretrained and not entry.published:
        raise CheckpointError(
            f"the weights of {entry.name} are not published by name; give its authors' checkpoint file"
        )
    try:
        return _video_mae_model(entry, size, pretrained) if entry.clips else _timm_model(entry, size, pretrained)
    except Exception as error:
        if not pretrained:
            raise
        raise CheckpointError(f"the weights of {entry.name} could not be fetched: {error}") from error


def check_size(entry: CatalogueEntry, model: nn.Module, size: Size) -> None:
    """Hold an image size to a model's patches, or to the pixels of its last stage.

    Raises:
        ExportError: naming the next larger size that fits.
    """
    height, width = _cell(model)
    if any(side <= 0 or side % cell for side, cell in zip(size, (height, width), strict=True)):
        fits = [max(1, -(-side // cell)) * cell for side, cell in zip(size, (height, width), strict=True)]
        raise ExportError(
            f"image size {size[0]}x{size[1]}: {entry.name} takes multiples of {height}x{width}; use {fits[0]}x{fits[1]}"
        )


def _cell(model: Any) -> Size:
    """Height and width of which an image must be a multiple."""
    family = family_of(model)
    if family in _STRIDE:
        return _STRIDE[family], _STRIDE[family]
    embedding = model.videomae.embeddings.patch_embeddings if family == "videomae" else model.patch_embed
    height, width = embedding.patch_size
    return height, width


def _timm_model(entry: CatalogueEntry, size: Size | None, pretrained: bool) -> nn.Module:
    arguments = dict(entry.arguments)
    if size is not None:
        arguments["img_size"] = size
    model: nn.Module = timm.create_model(entry.model, pretrained=pretrained, **arguments)
    return model.eval()


def _video_mae_model(entry: CatalogueEntry, size: Size | None, pretrained: bool) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    from vpp_deploy.models.papr.videomae import video_mae, with_checkpoint_epsilon

    arguments = {**entry.arguments, **({"image_size": size} if size else {})}
    if pretrained:
        return with_checkpoint_epsilon(VideoMAEForVideoClassification.from_pretrained(entry.model, **arguments))
    return video_mae(VideoMAEConfig(**arguments))


def _fill(base: nn.Module, entry: CatalogueEntry, weights: WeightSource) -> None:
    if isinstance(weights, Path):
        load_base(base, weights)
    elif weights is not None:
        randomise_(base, weights)


def _proposal(name: str, weights: WeightSource) -> ImageProposal | ClipProposal:
    if isinstance(weights, Path):
        return load_proposal(name, weights)
    if weights is not None:
        return randomise_(proposal(name), weights)
    return proposal(name, pretrained=True)
