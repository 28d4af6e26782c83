"""What the classifiers of all families share: the function that is exported, its bundle, and its reference engine.

The function takes uint8 images or clips and gives logits, significance maps and kept patches. The PyTorch reference
runs the very module that was traced, so that parity compares an engine with what was exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.classification_manifest import (
    ClassificationManifest,
    ClassifierPreprocessing,
    ClipSpec,
    CostSpec,
    PruningPoint,
)
from vpp_deploy.bundle.manifest import FileRecord, GraphRole, ModelSpec, WeightsProvenance
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.protocols import Array, HostStream
from vpp_deploy.exporters.checkpoint import check_weights, in_float32
from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.exporters.graphs import WEIGHTS_FILE, Graphs, graph_specs, provenance, write_graphs
from vpp_deploy.exporters.refusals import refusals_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.signature import GraphSignature, tensor_spec
from vpp_deploy.exporters.trace import trace
from vpp_deploy.options import Progress, Step

IMAGES: Final = "images"
CLIPS: Final = "clips"


class ClassifierGraph(nn.Module):
    """A pruned model with its normalisation.

    Args:
        model: takes normalised images `[B, 3, H, W]`, or clips `[B, 3, T, H, W]`, and gives a `ClassifierOutput`.
        preprocessing: gives mean and standard deviation, in 0..255.
    """

    def __init__(self, model: nn.Module, preprocessing: ClassifierPreprocessing) -> None:
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std), persistent=False)
        self.eval()

    def forward(self, pixels: Tensor) -> ClassifierOutput:
        """Classify.

        Args:
            pixels: `[B, H, W, 3]` uint8 RGB images, or `[B, T, H, W, 3]` clips.
        """
        channels_first = pixels.float().movedim(-1, 1)  # TensorRT-RTX does not transpose uint8
        per_channel = (3,) + (1,) * (channels_first.ndim - 2)
        normalised = (channels_first - self.mean.view(per_channel)) / self.std.view(per_channel)
        output: ClassifierOutput = self.model(normalised)
        return output


@dataclass(frozen=True)
class Classifier:
    """A classifier with its weights, and what a bundle says of it.

    Attributes:
        model: see `ClassifierGraph`; in evaluation mode. Its state dict is stored under its own names.
        name: with the family's prefix.
        family: of the model.
        keep: tokens to keep, as the family writes it.
        config: from which the family makes the model again.
        size: height and width of the input in pixels.
        preprocessing: how pictures become the input.
        dataset: the label set.
        class_names: in label order.
        points: names of the places where it prunes, in the order of `ClassifierOutput`, and their keep ratios.
        cost: for one image or clip.
        weights: where they come from.
        sequential: each point chooses among what the one before kept, so that its choice follows from earlier ones.
        clip: what a clip is; None for a model of images.
        features: what it gives is an embedding; there are no class names then.
        features: what it gives is an embedding; there are no class names then.
        proposal, merged, final_tokens, proposal_weights: see `ClassificationManifest` and `Provenance`.
    """

    model: nn.Module
    name: str
    family: str
    keep: str
    config: Mapping[str, Any]
    size: tuple[int, int]
    preprocessing: ClassifierPreprocessing
    dataset: str
    class_names: Sequence[str]
    points: Mapping[str, float]
    cost: CostSpec
    weights: WeightsProvenance
    sequential: bool = False
    clip: ClipSpec | None = None
    proposal: str | None = None
    merged: int = 0
    final_tokens: int | None = None
    proposal_weights: WeightsProvenance | None = None
    features: bool = False


def export_classifier(request: ExportRequest, make: Callable[[], Classifier], batch: int = 1) -> Bundle:
    """Export a classifier: its graph, its weights and the manifest.

    Args:
        request: what was asked for.
        make: makes the model with its weights; called when it is known that the bundle can be written.
        batch: images or clips that the graph takes at once.

    Raises:
        ExportError: PyTorch cannot trace the model, a weight is beyond the range of the precision, or a backend could
            not run the graph.
        OutputError: the bundle cannot be written.
    """
    with BundleWriter(request.out, overwrite=request.overwrite) as writer:
        request.progress("loading weights")
        classifier = make()
        check_weights(classifier.model, classifier.name, request.allow_nonfinite)
        classifier = replace(classifier, model=in_float32(classifier.model))
        return write_classifier(writer, classifier, batch=batch, precision=request.precision, progress=request.progress)


def write_classifier(
    writer: BundleWriter,
    classifier: Classifier,
    *,
    batch: int,
    precision: str,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Trace a classifier and write its bundle.

    Args:
        writer: the bundle in the making; it is committed.
        classifier: what to export.
        batch: images or clips that the graph takes at once.
        precision: of matrix products and convolutions.
        progress: called with a line about each step.

    Raises:
        ExportError: PyTorch cannot trace the model, a weight is beyond the range of the precision, or a backend could
            not run the graph.
        OutputError: the bundle cannot be written.
    """
    graph = ClassifierGraph(classifier.model.requires_grad_(False), classifier.preprocessing)
    frames = () if classifier.clip is None else (classifier.clip.frames,)
    example = torch.zeros(batch, *frames, *classifier.size, 3, dtype=torch.uint8)
    with torch.no_grad():
        output = graph(example)
    points = _pruning_points(classifier, output)
    signed = _signature(example, output, points, "features" if classifier.features else "logits")
    progress(Step("tracing the model graph", 0.4))
    graphs: Graphs = {"model": (trace(_Flat(graph), signed, classifier.name, "classifier.model"), signed)}
    progress(Step("writing the bundle", 0.9))
    state_dict = {name: tensor.numpy() for name, tensor in classifier.model.state_dict().items()}
    write_graphs(writer, graphs, state_dict, precision)

    def manifest(files: Mapping[str, FileRecord]) -> ClassificationManifest:
        return ClassificationManifest(
            model=ModelSpec(
                name=classifier.name,
                family=classifier.family,
                task=ClassificationManifest.task,
                keep_schedule=classifier.keep,
                dataset=classifier.dataset,
                config=dict(classifier.config),
            ),
            precision=precision,
            frame_size=classifier.size,
            preprocessing=classifier.preprocessing,
            batch=batch,
            clip=classifier.clip,
            proposal=classifier.proposal,
            merged=classifier.merged,
            final_tokens=classifier.final_tokens,
            class_names=tuple(classifier.class_names),
            pruning_points=points,
            sequential=classifier.sequential,
            cost=classifier.cost,
            features=output.logits.shape[1] if classifier.features else None,
            graphs=graph_specs(graphs),
            weights_file=WEIGHTS_FILE,
            provenance=provenance(classifier.weights, classifier.proposal_weights),
            files=dict(files),
        )

    return writer.commit(manifest)


class ClassifierReference(LoadedEngine):
    """The PyTorch reference of a classifier's bundle. Runs on the CPU in float32.

    Args:
        bundle: whose reference.
        model: what was exported, with the weights of the bundle's weights file.

    Raises:
        UsageError: the bundle is for another task.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle, model: nn.Module) -> None:
        manifest = ClassificationManifest.of(bundle.manifest, "the reference of a classifier")
        super().__init__(manifest)
        self._bundle = bundle
        self._points, self._output = manifest.pruning_points, manifest.output
        self._graph = ClassifierGraph(model.requires_grad_(False), manifest.preprocessing)

    @property
    def graph(self) -> ClassifierGraph:
        """The module that runs."""
        return self._graph

    def open_stream(self) -> HostStream:
        """A new stream; no weights are copied. Streams of one engine must not run at the same time."""
        return HostStream(self.manifest, self._run_graph)

    def rerun(self, inputs: Mapping[str, Array], kept: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs, had other patches been kept: it proves that a difference follows from that choice alone.

        It hooks the shared modules while it runs: no stream of this engine may run at the same time.

        Args:
            inputs: as for `EngineStream.run`.
            kept: positions `[B, K]` int32 of each pruning point that keeps any, by its name.
        """
        with choosing(self._graph, [kept[point.name] for point in self._points if point.kept]):
            return self.open_stream().run(inputs)

    def _run_graph(self, role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        (pixels,) = feed.values()
        with torch.inference_mode(), refusals_of(self._bundle):
            output = self._graph(torch.from_numpy(pixels))
        values = {self._output: output.logits}
        for point, significance, kept in zip(self._points, output.significance, output.kept, strict=True):
            values[point.significance_output] = significance
            if point.kept_output is not None:
                values[point.kept_output] = kept
        return [values[name].numpy() for name in names]


@contextmanager
def choosing(model: nn.Module, kept: Sequence[Array]) -> Iterator[None]:
    """Inside the block a model keeps these patches, whatever their significance.

    Args:
        model: has one or more `PatchSelection`, called once per pruning point.
        kept: positions `[B, K]` of each point that keeps any, in the order of the points.
    """
    choices = iter(kept)

    def choose(_: nn.Module, arguments: tuple[Any, ...], chosen: Tensor) -> Tensor:
        wanted = torch.from_numpy(next(choices)).to(chosen.dtype)
        positions = arguments[2] if len(arguments) > 2 else None
        if positions is None:
            return wanted
        # A position that is not there any more finds row 0; the difference then stays, and is reported.
        found: Tensor = (positions.unsqueeze(1) == wanted.unsqueeze(2)).int().argmax(2).to(chosen.dtype)
        return found

    hooks = [module.register_forward_hook(choose) for module in model.modules() if isinstance(module, PatchSelection)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Flat(nn.Module):
    """The graph with positional tensors only, as a trace needs it."""

    def __init__(self, graph: ClassifierGraph) -> None:
        super().__init__()
        self.classifier = graph  # `graph` is a name that traced modules use themselves

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return _flat(self.classifier(pixels))


def _flat(output: ClassifierOutput) -> tuple[Tensor, ...]:
    """All tensors but empty ones, which no graph can put out."""
    tensors = (output.logits, *chain.from_iterable(zip(output.significance, output.kept, strict=True)))
    return tuple(tensor for tensor in tensors if tensor.shape[1])


def _pruning_points(classifier: Classifier, output: ClassifierOutput) -> tuple[PruningPoint, ...]:
    """Where a model prunes, as its output for some input shows it; shapes alone are looked at."""
    points: list[PruningPoint] = []
    named = zip(classifier.points.items(), output.significance, output.kept, strict=True)
    for (name, keep_ratio), significance, kept in named:
        shape = tuple(significance.shape[1:])
        is_flat = len(shape) == 1  # fused tokens follow the patches of the grid that all points share
        grid = points[0].grid if is_flat else shape
        points.append(
            PruningPoint(
                name=name,
                grid=grid,  # type: ignore[arg-type]
                keep_ratio=keep_ratio,
                kept=kept.shape[1],
                kept_output=f"kept_{name}" if kept.shape[1] else None,
                significance_output=f"significance_{name}",
                fused=shape[0] - torch.Size(grid).numel() if is_flat else 0,
            )
        )
    return tuple(points)


def _signature(example: Tensor, output: ClassifierOutput, points: Sequence[PruningPoint], first: str) -> GraphSignature:
    names = [first]
    for point in points:
        names += [point.significance_output, *([point.kept_output] if point.kept_output else [])]
    return GraphSignature(
        role="model",
        inputs=(tensor_spec(CLIPS if example.ndim == 5 else IMAGES, example),),
        outputs=tuple(tensor_spec(name, tensor) for name, tensor in zip(names, _flat(output), strict=True)),
        state=(),
        example=(example,),
    )
