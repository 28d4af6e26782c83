"""From a library's model, a proposal and a keep ratio to a bundle on disk (PaPr)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vpp_deploy.bundle.classification_manifest import CostSpec
from vpp_deploy.bundle.manifest import WeightsProvenance
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.checkpoint import CheckpointFile, checkpoint_record
from vpp_deploy.exporters.classifier import Classifier, export_classifier
from vpp_deploy.exporters.labels import labels_of
from vpp_deploy.exporters.precision import check_precision
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families.papr.catalogue import fitting_proposal, lookup, papr_model
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.flops import StageTokens, count_flops
from vpp_deploy.families.papr.inputs import class_count, classes_of, clip_of, frame_size_of, preprocessing_of
from vpp_deploy.families.papr.merging import MergingBlocks
from vpp_deploy.families.papr.model import point_names
from vpp_deploy.families.papr.names import IMAGE_PROPOSALS, PREFIX, CatalogueEntry
from vpp_deploy.families.papr.options import PaprOptions, check, config_of
from vpp_deploy.options import Progress, make_options


def export_papr(
    config: PaprConfig,
    *,
    out: Path | str,
    checkpoint: Path | str | None = None,
    random_weights: RandomWeights | None = None,
    precision: str = "float32",
    overwrite: bool = False,
    progress: Progress = lambda step: None,
    **options: Any,
) -> Bundle:
    """What `vpp_deploy.export(config, ...)` does: the earlier name for PaPr models, which goes with version 0.3.0."""
    request = ExportRequest(
        model=config,
        out=Path(out),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        random_weights=random_weights,
        precision=check_precision(precision),
        overwrite=overwrite,
        progress=progress,
    )
    made = make_options(PaprOptions, options, f"export {config.model}: family papr")
    check(request, made)
    return export_request(request, made)


def export_request(request: ExportRequest, options: PaprOptions) -> Bundle:
    """Export a model that is pruned with PaPr: its graph, its weights and the manifest.

    Raises:
        ConfigError: keep ratio, stages, merged tokens or number of labels that the model cannot have.
        CheckpointError: weights cannot be fetched or read, or do not fit.
        ExportError: unknown model or proposal, a structure that cannot be pruned, an image size that does not fit, a
            weight beyond the range of the precision, or a graph that a backend could not run.
        OutputError: the bundle cannot be written.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it prints every attempt that it repeats
    labels = labels_of(options.labels)
    config = config_of(request, options)
    if labels is not None:
        config = replace(config, classes=len(labels))
    return export_classifier(request, lambda: _classifier(config, request, options, labels), options.batch)


def _classifier(
    config: PaprConfig, request: ExportRequest, options: PaprOptions, labels: Sequence[str] | None
) -> Classifier:
    entry = lookup(config.model)
    config = replace(config, proposal=fitting_proposal(entry, config.proposal))
    assert config.proposal is not None
    weights, proposal_weights = sources_of(entry, config.proposal, request, options)
    model = papr_model(
        config, weights=weights.weights, proposal_weights=proposal_weights.weights, features=options.features
    )
    base: Any = model.base.model
    _check_labels(entry, labels, class_count(base))
    size = config.size or frame_size_of(entry, base)
    config = replace(config, size=size, classes=class_count(base) or None)
    clip = clip_of(entry, base)
    cost = count_flops(model, (3, *(() if clip is None else (clip.frames,)), *size))
    dataset, class_names = _classes(entry, base, options, labels)
    return Classifier(
        model=model,
        name=PREFIX + entry.name,
        family="papr",
        keep=f"{config.keep:g}",
        config=config.to_dict(),
        size=size,
        preprocessing=preprocessing_of(entry, base),
        dataset=dataset,
        class_names=class_names,
        points=dict.fromkeys(point_names(model), config.keep),
        cost=CostSpec(dense=cost.dense, pruned=cost.pruned, proposal=cost.proposal),
        weights=weights.record,
        clip=clip,
        proposal=config.proposal if model.proposal is not None else None,
        merged=config.merge,
        final_tokens=_final_tokens(model.base, cost.stages),
        proposal_weights=proposal_weights.record if model.proposal is not None else None,
        features=options.features,
    )


@dataclass(frozen=True)
class ChosenWeights:
    """Weights to load.

    Attributes:
        weights: a file, the seed of random ones, or None for published ones.
        published: name of those that are fetched where `weights` is None.
    """

    weights: CheckpointFile | int | None
    published: str

    @property
    def record(self) -> WeightsProvenance:
        """What the manifest says of them; asked for when they are loaded, for any file can be hashed."""
        if self.weights is None:
            return WeightsProvenance(kind="pretrained", name=self.published)
        if isinstance(self.weights, int):
            return WeightsProvenance(kind="random", name="random weights", seed=self.weights)
        return checkpoint_record(self.weights.path)


def sources_of(
    entry: CatalogueEntry,
    proposal: str,
    request: ExportRequest,
    options: PaprOptions,
) -> tuple[ChosenWeights, ChosenWeights]:
    """The weights of the model and of its proposal that an export was asked for."""
    base_name, feature_name = entry.model, IMAGE_PROPOSALS.get(proposal, proposal)
    if request.random_weights is not None:
        seed = request.random_weights.seed
        return ChosenWeights(seed, base_name), ChosenWeights(seed, feature_name)
    base, features = request.checkpoint, options.proposal_checkpoint
    return (
        ChosenWeights(None if base is None else CheckpointFile(base, request.weights, request.note), base_name),
        ChosenWeights(
            None
            if features is None
            else CheckpointFile(features, options.proposal_weights, request.note, "--proposal-weights"),
            feature_name,
        ),
    )


def _classes(
    entry: CatalogueEntry, base: Any, options: PaprOptions, labels: Sequence[str] | None
) -> tuple[str, tuple[str, ...]]:
    if options.features:
        return "features", ()
    return ("custom", tuple(labels)) if labels is not None else classes_of(entry, base)


def _check_labels(entry: CatalogueEntry, labels: Sequence[str] | None, classes: int) -> None:
    if labels is not None and len(labels) != classes:
        raise ConfigError(f"{len(labels)} labels do not fit {entry.name}, which has {classes} classes")


def _final_tokens(base: Any, tokens: Sequence[StageTokens]) -> int | None:
    """Tokens after the last block of a model that merges them."""
    blocks = getattr(base.model, "blocks", None)
    if not isinstance(blocks, MergingBlocks):
        return None
    patches = tokens[0].kept if tokens else math.prod(base.model.patch_embed.grid_size)
    return blocks.remaining(base.model.num_prefix_tokens + patches)
