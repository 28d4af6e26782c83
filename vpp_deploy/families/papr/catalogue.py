"""Models that can be pruned, made from their names: architecture, proposal, size, weights."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn

from vpp_deploy.errors import CheckpointError, ExportError
from vpp_deploy.exporters.checkpoint import CheckpointFile
from vpp_deploy.exporters.randomise import randomise_
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.inputs import class_count
from vpp_deploy.families.papr.model import PaprModel, architecture_of
from vpp_deploy.families.papr.names import CATALOGUE, CLIP_PROPOSALS, PREFIX, CatalogueEntry, proposal_name
from vpp_deploy.families.papr.proposals import ClipProposal, ImageProposal, proposal
from vpp_deploy.families.papr.weights import load_base, load_proposal

_STRIDE: Final = {"convnext": 32, "swin": 32}
"""Pixels per token of the last stage."""

Size = tuple[int, int]
WeightInit = Path | CheckpointFile | int | None
"""A checkpoint file, a seed for random weights, or None for the published weights (needs a network)."""


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


def papr_model(config: PaprConfig, *, weights: WeightInit = None, proposal_weights: WeightInit = None) -> PaprModel:
    """A pruned model, ready for inference.

    Args:
        config: which.
        weights: of the base model.
        proposal_weights: of the proposal; not looked at when the keep ratio is 1.

    Raises:
        ExportError: unknown model or proposal, a structure that cannot be pruned, or a size that does not fit.
        ConfigError: keep ratio, stages or merge out of range.
        CheckpointError: weights cannot be fetched or read, or do not fit.
    """
    entry = lookup(config.model)
    name = fitting_proposal(entry, config.proposal)
    with torch.device("meta"):  # what does not fit should be known before anything is fetched
        trial = base_model(entry, classes=config.classes)
        PaprModel(trial, None, config.keep, config.stages, config.merge)
    if class_count(trial) == 0:
        raise ExportError(f"{entry.name} has no classifier, only features; name its classes with labels")
    if config.size is not None:
        check_size(entry, trial, config.size)
    base = base_model(entry, config.size, pretrained=weights is None, classes=config.classes)
    _fill(base, weights)
    proposal = _proposal(name, proposal_weights) if config.keep < 1 else None
    return PaprModel(base, proposal, config.keep, config.stages, config.merge)


def unfilled_model(config: PaprConfig) -> PaprModel:
    """The same model with the libraries' initial weights, to load others into; errors as `papr_model`."""
    entry = lookup(config.model)
    base = base_model(entry, config.size, classes=config.classes)
    network = proposal(fitting_proposal(entry, config.proposal)) if config.keep < 1 else None
    return PaprModel(base, network, config.keep, config.stages, config.merge)


def fitting_proposal(entry: CatalogueEntry, name: str | None) -> str:
    """A proposal's own name, or the model's default.

    Raises:
        ExportError: unknown, or for clips where the model classifies images, or the reverse.
    """
    chosen = proposal_name(name or entry.proposal)
    if (chosen in CLIP_PROPOSALS) != entry.clips:
        kind = "clips" if entry.clips else "images"
        raise ExportError(f"proposal {chosen} does not fit {entry.name}, which classifies {kind}")
    return chosen


def base_model(
    entry: CatalogueEntry, size: Size | None = None, pretrained: bool = False, classes: int | None = None
) -> nn.Module:
    """The library's model.

    Args:
        entry: which.
        size: height and width; None for what the model was trained with.
        pretrained: fetch the published weights (needs a network); otherwise the library's initial ones.
        classes: number of classes; None for as many as the published weights have. Not for pretrained weights.

    Raises:
        CheckpointError: the weights are not published under a name, or could not be fetched.
    """
    if pretrained and not entry.published:
        raise CheckpointError(
            f"the weights of {entry.name} are not published by name; give its authors' checkpoint file"
        )
    try:
        make = _video_mae_model if entry.clips else _timm_model
        return make(entry, size, pretrained, classes)
    except Exception as error:  # the libraries and the hub raise many types
        if not pretrained:
            raise
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"the weights of {entry.name} could not be fetched: {reason}; give a checkpoint file"
        ) from error


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
    family = architecture_of(model)
    if family in _STRIDE:
        return _STRIDE[family], _STRIDE[family]
    embedding = model.videomae.embeddings.patch_embeddings if family == "videomae" else model.patch_embed
    height, width = embedding.patch_size
    return height, width


def _timm_model(entry: CatalogueEntry, size: Size | None, pretrained: bool, classes: int | None) -> nn.Module:
    arguments = dict(entry.arguments)
    if classes is not None:
        arguments["num_classes"] = classes
    if size is not None and not _takes_any_size(entry):
        arguments["img_size"] = size
    model: nn.Module = timm.create_model(entry.model, pretrained=pretrained, **arguments)
    return model.eval()


def _takes_any_size(entry: CatalogueEntry) -> bool:
    with torch.device("meta"):
        return architecture_of(timm.create_model(entry.model, **entry.arguments)) == "convnext"


def _video_mae_model(entry: CatalogueEntry, size: Size | None, pretrained: bool, classes: int | None) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    from vpp_deploy.families.papr.videomae import video_mae, with_checkpoint_epsilon

    changes = {"image_size": size, "num_labels": classes}
    arguments = {**entry.arguments, **{name: value for name, value in changes.items() if value is not None}}
    if pretrained:
        return with_checkpoint_epsilon(VideoMAEForVideoClassification.from_pretrained(entry.model, **arguments))
    return video_mae(VideoMAEConfig(**arguments))


def _fill(base: nn.Module, weights: WeightInit) -> None:
    if isinstance(weights, Path | CheckpointFile):
        load_base(base, weights)
    elif weights is not None:
        randomise_(base, weights)


def _proposal(name: str, weights: WeightInit) -> ImageProposal | ClipProposal:
    if isinstance(weights, Path | CheckpointFile):
        return load_proposal(name, weights)
    if weights is not None:
        return randomise_(proposal(name), weights)
    return proposal(name, pretrained=True)
