"""From a library's model, a proposal and a keep ratio to a bundle on disk (PaPr)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord, ModelSpec, WeightsSource
from vpp_deploy.bundle.papr_manifest import ClipSpec, CostSpec, PaprManifest, PruningPoint
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.errors import CheckpointError, ConfigError, UsageError
from vpp_deploy.exporters.graphs import WEIGHTS_FILE, Graphs, graph_specs, provenance, write_graphs
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.exporters.signature import GraphSignature, tensor_spec
from vpp_deploy.exporters.trace import trace
from vpp_deploy.models.papr.catalogue import WeightSource, fitting_proposal, lookup, papr_model
from vpp_deploy.models.papr.classifier_graph import CLIPS, IMAGES, ClassifierGraph, pruning_points
from vpp_deploy.models.papr.config import PaprConfig
from vpp_deploy.models.papr.flops import count_flops
from vpp_deploy.models.papr.inputs import class_count, classes_of, clip_of, frame_size_of, preprocessing_of
from vpp_deploy.models.papr.merging import MergingBlocks
from vpp_deploy.models.papr.names import IMAGE_PROPOSALS, PREFIX, CatalogueEntry
from vpp_deploy.models.papr.output import PaprOutput
from vpp_deploy.precision import Precision, check_precision

Progress = Callable[[str], None]


def export_papr(
    config: PaprConfig,
    *,
    out: Path | str,
    checkpoint: Path | str | None = None,
    proposal_checkpoint: Path | str | None = None,
    pretrained: bool = False,
    random_weights: RandomWeights | None = None,
    labels: Sequence[str] | None = None,
    batch: int = 1,
    precision: Precision = "float32",
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Export a model that is pruned with PaPr to a bundle: its graph, its weights and the manifest.

    Args:
        config: model, proposal and keep ratio.
        out: the bundle's folder; its parent exists.
        checkpoint: weights of the model, in its library's layout or its authors' own.
        proposal_checkpoint: weights of the proposal; without it, those that timm publishes.
        pretrained: fetch the model's published weights (needs a network).
        random_weights: weights without training for model and proposal, for trying out.
        labels: names of the classes; None takes those that the library knows. With a checkpoint or random weights
            their number is the number of classes.
        batch: images or clips that the graph takes at once.
        precision: of matrix products and convolutions, see `reduce_precision`; everything else is float32.
        overwrite: replace an existing bundle.
        progress: called with a line about each step.

    Raises:
        UsageError: not exactly one of `checkpoint`, `pretrained` and `random_weights`; a batch below 1; an unknown
            precision.
        ConfigError: keep ratio, stages, merged tokens or number of labels that the model cannot have.
        CheckpointError: weights cannot be fetched or read, or do not fit.
        ExportError: unknown model or proposal, a structure that cannot be pruned, an image size that does not fit, a
            weight beyond the range of the precision, or a graph that a backend could not run.
        OutputError: the bundle cannot be written.
    """
    _check_sources(config, checkpoint, proposal_checkpoint, pretrained, random_weights)
    check_precision(precision)
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be at least 1")
    if labels is not None and not pretrained:
        config = replace(config, classes=len(labels))
    with BundleWriter(out, overwrite=overwrite) as writer:
        progress("loading weights")
        entry = lookup(config.model)
        config = replace(config, proposal=fitting_proposal(entry, config.proposal))
        assert config.proposal is not None
        weights, proposal_weights = _sources(entry, config.proposal, checkpoint, proposal_checkpoint, random_weights)
        model = papr_model(config, weights=weights.weights, proposal_weights=proposal_weights.weights)
        model.requires_grad_(False)
        base: Any = model.base.model
        _check_labels(entry, labels, class_count(base))
        config = replace(config, size=config.size or frame_size_of(entry, base), classes=class_count(base))
        assert config.size is not None
        preprocessing, clip = preprocessing_of(entry, base), clip_of(entry, base)
        graph = ClassifierGraph(model, preprocessing)
        example = torch.zeros(batch, *_input_shape(clip, config.size), dtype=torch.uint8)
        with torch.no_grad():
            output = graph(example)
        points = pruning_points(model, output)
        signed = _signature(example, output, points)
        progress("tracing the model graph")
        graphs: Graphs = {"model": (trace(_Flat(graph), signed, config.model, "classifier.model"), signed)}
        progress("writing the bundle")
        state_dict = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        write_graphs(writer, graphs, state_dict, precision)
        cost = count_flops(model, tuple(example.movedim(-1, 1).shape[1:]))
        dataset, class_names = ("custom", tuple(labels)) if labels is not None else classes_of(entry, base)

        def manifest(files: Mapping[str, FileRecord]) -> PaprManifest:
            assert config.size is not None
            return PaprManifest(
                model=ModelSpec(
                    name=PREFIX + entry.name,
                    family="papr",
                    keep_schedule=f"{config.keep:g}",
                    dataset=dataset,
                    config=config.to_dict(),
                ),
                precision=precision,
                frame_size=config.size,
                preprocessing=preprocessing,
                batch=batch,
                clip=clip,
                proposal=config.proposal if model.proposal is not None else None,
                merged=config.merge,
                final_tokens=_final_tokens(model.base, points),
                class_names=class_names,
                pruning_points=points,
                cost=CostSpec(dense=cost.dense, pruned=cost.pruned, proposal=cost.proposal),
                graphs=graph_specs(graphs),
                weights_file=WEIGHTS_FILE,
                provenance=provenance(weights.record, proposal_weights.record if model.proposal is not None else None),
                files=dict(files),
            )

        return writer.commit(manifest)


@dataclass(frozen=True)
class _Source:
    """Weights to load, and what the manifest says of them."""

    weights: WeightSource
    record: WeightsSource


def _sources(
    entry: CatalogueEntry,
    proposal: str,
    checkpoint: Path | str | None,
    proposal_checkpoint: Path | str | None,
    random_weights: RandomWeights | None,
) -> tuple[_Source, _Source]:
    """Of the model and of its proposal."""
    if random_weights is not None:
        seed = random_weights.seed
        source = _Source(seed, WeightsSource(kind="random", name="random weights", seed=seed))
        return source, source
    return (
        _trained(checkpoint, entry.model),
        _trained(proposal_checkpoint, IMAGE_PROPOSALS.get(proposal, proposal)),
    )


def _trained(checkpoint: Path | str | None, published: str) -> _Source:
    if checkpoint is None:
        return _Source(None, WeightsSource(kind="pretrained", name=published))
    path = Path(checkpoint)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    return _Source(path, WeightsSource(kind="checkpoint", name=path.name, sha256=sha256_of_file(path)))


def _check_sources(
    config: PaprConfig,
    checkpoint: Path | str | None,
    proposal_checkpoint: Path | str | None,
    pretrained: bool,
    random_weights: RandomWeights | None,
) -> None:
    given = sum((checkpoint is not None, pretrained, random_weights is not None))
    if given != 1:
        raise UsageError(
            f"export {config.model}: give one of a checkpoint, pretrained weights (fetched by the library) and random "
            f"weights, not {given}"
        )
    if proposal_checkpoint is not None and (random_weights is not None or config.keep == 1):
        reason = "weights are random" if random_weights is not None else "keep ratio 1 needs no proposal"
        raise UsageError(f"export {config.model}: a proposal checkpoint is of no use when {reason}; leave it out")


def _check_labels(entry: CatalogueEntry, labels: Sequence[str] | None, classes: int) -> None:
    if labels is not None and len(labels) != classes:
        raise ConfigError(f"{len(labels)} labels do not fit {entry.name}, which has {classes} classes")


def _input_shape(clip: ClipSpec | None, size: tuple[int, int]) -> tuple[int, ...]:
    return (*size, 3) if clip is None else (clip.frames, *size, 3)


def _final_tokens(base: Any, points: Sequence[PruningPoint]) -> int | None:
    """Tokens after the last block of a model that merges them."""
    blocks = getattr(base.model, "blocks", None)
    if not isinstance(blocks, MergingBlocks):
        return None
    patches = points[0].kept if points else math.prod(base.model.patch_embed.grid_size)
    return blocks.remaining(base.model.num_prefix_tokens + patches)


class _Flat(nn.Module):
    """The graph with positional tensors only, as a trace needs it."""

    def __init__(self, graph: ClassifierGraph) -> None:
        super().__init__()
        self.classifier = graph  # `graph` is a name that traced modules use themselves

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return _flat(self.classifier(pixels))


def _flat(output: PaprOutput) -> tuple[Tensor, ...]:
    return (output.logits, *chain.from_iterable(zip(output.significance, output.kept, strict=True)))


def _signature(example: Tensor, output: PaprOutput, points: Sequence[PruningPoint]) -> GraphSignature:
    names = ["logits"]
    for point in points:
        names += [point.significance_output, point.kept_output]
    return GraphSignature(
        phase="model",
        inputs=(tensor_spec(CLIPS if example.ndim == 5 else IMAGES, example),),
        outputs=tuple(tensor_spec(name, tensor) for name, tensor in zip(names, _flat(output), strict=True)),
        state=(),
        example=(example,),
    )
