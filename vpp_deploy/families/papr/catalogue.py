"""Models that can be pruned, made from their names: architecture, proposal, size, weights."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn

from vpp_deploy.errors import CheckpointError, ConfigError, ExportError
from vpp_deploy.exporters.checkpoint import CheckpointFile
from vpp_deploy.exporters.randomise import randomise_
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.inputs import check_classes, check_features, class_count
from vpp_deploy.families.papr.model import PaprModel, architecture_of
from vpp_deploy.families.papr.names import (
    CATALOGUE,
    CLIP_PROPOSALS,
    IMAGE_PROPOSALS,
    PREFIX,
    CatalogueEntry,
    proposal_name,
)
from vpp_deploy.families.papr.proposals import ClipProposal, ImageProposal, proposal
from vpp_deploy.families.papr.published import WEIGHTS, fetch
from vpp_deploy.families.papr.weights import load_base, load_proposal
from vpp_deploy.files import interrupts

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


def papr_model(
    config: PaprConfig, *, weights: WeightInit = None, proposal_weights: WeightInit = None, features: bool = False
) -> PaprModel:
    """A pruned model, ready for inference.

    Args:
        config: which.
        weights: of the base model.
        proposal_weights: of the proposal; not looked at when the keep ratio is 1.
        features: the model must have no classes, and what it gives is its embedding.

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
    if features:
        check_features(entry, trial)
    elif config.classes is None:
        check_classes(entry, trial)
    elif weights is None:
        _check_published_classes(entry, config.classes)
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
        classes: number of classes; None for as many as the published weights have.

    Raises:
        CheckpointError: the weights are not published under a name, could not be fetched, or do not fit: every one of
            them is used, and none of the model's is left as it was.
    """
    if pretrained and not entry.published:
        raise CheckpointError(
            f"the weights of {entry.name} are not published by name; give its authors' checkpoint file"
        )
    make = _video_mae_model if entry.clips else _timm_model
    return make(entry, size, pretrained, classes)


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
    if family == "videomae":
        height, width = model.videomae.embeddings.patch_embeddings.patch_size
    else:
        height, width = model.patch_embed.feat_ratio(as_scalar=False)  # of a hybrid, its ConvNet's stride counts too
    return height, width


def _timm_model(entry: CatalogueEntry, size: Size | None, pretrained: bool, classes: int | None) -> nn.Module:
    arguments = dict(entry.arguments)
    if classes is not None:
        arguments["num_classes"] = classes
    if size is not None and not _takes_any_size(entry):
        arguments["img_size"] = size
    if pretrained:
        # A file of published weights is in PyTorch's format, also where the original one had to be converted.
        arguments["pretrained_cfg_overlay"] = {"file": str(_published_file(entry.model)), "custom_load": False}
        arguments["pretrained_strict"] = True
    try:
        model: nn.Module = timm.create_model(entry.model, pretrained=pretrained, **arguments)
    except Exception as error:  # timm raises many types
        interrupts.let_pass(error)
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"the published weights of {entry.name} do not fit: {reason}; is timm up to date?"
        ) from error
    return model.eval()


def _published_file(model: str) -> Path:
    settings = timm.models.get_pretrained_cfg(model)
    if settings is None or not settings.hf_hub_id:
        where = f"published at {settings.url}" if settings is not None and settings.url else "not published by name"
        raise CheckpointError(f"the weights of {model} are {where}; give the file with --checkpoint")
    return fetch(settings.hf_hub_id, (settings.hf_hub_filename,) if settings.hf_hub_filename else WEIGHTS)


def _check_published_classes(entry: CatalogueEntry, classes: int) -> None:
    """See that nothing of a model must be made up where its published weights are to be used."""
    with torch.device("meta"):
        published = class_count(base_model(entry))
    if classes != published:
        raise ConfigError(
            f"{classes} labels or classes do not fit {entry.name}: its published weights have {published}"
        )


def _takes_any_size(entry: CatalogueEntry) -> bool:
    with torch.device("meta"):
        return architecture_of(timm.create_model(entry.model, **entry.arguments)) == "convnext"


def _video_mae_model(entry: CatalogueEntry, size: Size | None, pretrained: bool, classes: int | None) -> nn.Module:
    from transformers import VideoMAEConfig

    from vpp_deploy.families.papr.videomae import video_mae

    changes = {"image_size": size, "num_labels": classes}
    arguments = {**entry.arguments, **{name: value for name, value in changes.items() if value is not None}}
    if not pretrained:
        return video_mae(VideoMAEConfig(**arguments))
    settings = fetch(entry.model, ("config.json",))
    try:
        model = video_mae(VideoMAEConfig.from_pretrained(settings.parent, **arguments))
    except Exception as error:  # transformers raises many types
        interrupts.let_pass(error)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{entry.model} publishes a config.json that makes no VideoMAE: {reason}") from error
    # Loaded here and not by transformers, whose versions 5.5 to 5.17 leave out the biases of query and value.
    return load_base(model, fetch(entry.model))


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
    return published_proposal(name)


def published_proposal(name: str) -> ImageProposal | ClipProposal:
    """A proposal with its published weights.

    Raises:
        CheckpointError: they are not published under a name, could not be fetched, or do not fit.
    """
    if name not in IMAGE_PROPOSALS:
        raise CheckpointError(
            f"the weights of proposal {name} are not published by name; give its PyTorchVideo checkpoint file "
            "(--proposal-checkpoint)"
        )
    return load_proposal(name, _published_file(IMAGE_PROPOSALS[name]))
