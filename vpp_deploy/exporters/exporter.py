"""From a VPP model and its weights to a bundle on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import onnx

from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord, ModelSpec, Phase, WeightsSource
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.vpp_manifest import DetectionSpec, Preprocessing, TrackerSpec, VppManifest
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.frame_phases import PhaseGraph, selection_points, signature
from vpp_deploy.exporters.graphs import WEIGHTS_FILE, Graphs, graph_specs, provenance, write_graphs
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.exporters.trace import trace
from vpp_deploy.models.checkpoint import load_detector, official_state_dict
from vpp_deploy.models.config import IMAGE_MEAN, IMAGE_STD, PATCH_SIZE, DetectorConfig, KeepSchedule, model_config
from vpp_deploy.models.detector import VppDetector
from vpp_deploy.models.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.models.papr.names import PREFIX
from vpp_deploy.models.random_weights import randomise_
from vpp_deploy.models.shipped import SHIPPED_MODELS, shipped_weights
from vpp_deploy.precision import Precision, check_precision

Progress = Callable[[str], None]


def export(
    model: str | DetectorConfig,
    *,
    out: Path | str,
    checkpoint: Path | str | None = None,
    random_weights: RandomWeights | None = None,
    keep: KeepSchedule | str = "0.55",
    size: tuple[int, int] | None = None,
    dataset: str | None = None,
    max_tracks: int = 50,
    max_detections: int = 50,
    selection_noise: bool = False,
    precision: Precision = "float32",
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Export a model to a bundle: both graphs, their shared weights and the manifest.

    Args:
        model: a name that `vpp-deploy models` lists, or a configuration of your own (which then also says the keep
            schedule and the data set).
        out: the bundle's folder; its parent exists.
        checkpoint: trained weights, `.pth` or `.safetensors`.
        random_weights: weights without training, for trying out. Without this and a checkpoint, the model must be one
            whose weights come with the package (`vpp-demo`).
        keep: keep schedule, see `parse_keep_schedule`.
        size: height and width of the model's input in pixels, multiples of 32; None takes the model's own.
        dataset: label set; None takes the model's own.
        max_tracks: track query slots.
        max_detections: candidate queries that leave the graph each frame.
        selection_noise: add an input for Gumbel noise at the selection points.
        precision: of matrix products and convolutions, see `reduce_precision`; everything else is float32.
        overwrite: replace an existing bundle.
        progress: called with a line about each step.

    Raises:
        UsageError: both `checkpoint` and `random_weights`; or neither, and the model's weights are not shipped; or a
            PaPr model, which `export_papr` exports; or an unknown precision.
        ConfigError: bad keep schedule.
        CheckpointError: the checkpoint cannot be used.
        ExportError: unknown model or data set, impossible size, a weight beyond the range of the precision, or a graph
            that a backend could not run.
        OutputError: the bundle cannot be written.
    """
    if isinstance(model, str) and model.startswith(PREFIX):
        raise UsageError(f"export {model}: it is a PaPr model; use vpp_deploy.export_papr(vpp_deploy.PaprConfig(...))")
    check_precision(precision)
    config = model if isinstance(model, DetectorConfig) else model_config(model, keep, dataset)
    if checkpoint is not None and random_weights is not None:
        raise UsageError(f"export {config.name}: a checkpoint and random weights exclude each other; give one of them")
    tracker = TrackerSpec()
    options = GraphOptions(
        size or config.frame_size,
        max_tracks,
        max_detections,
        tracker.new_score,
        tracker.track_score,
        selection_noise=selection_noise,
    )
    with BundleWriter(out, overwrite=overwrite) as writer:
        progress("loading weights")
        detector, source = _weights(config, checkpoint, random_weights)
        graph = FrameGraph(detector, options).eval().requires_grad_(False)
        graphs: dict[Phase, tuple[onnx.ModelProto, GraphSignature]] = {}
        for phase in VppManifest.phases:
            progress(f"tracing the {phase} graph")
            signed = signature(graph, phase)
            graphs[phase] = trace(PhaseGraph(graph, phase), signed, config.name, "frame_graph.detector"), signed
        progress("writing the bundle")
        state_dict = {name: tensor.detach().numpy() for name, tensor in official_state_dict(detector).items()}
        write_graphs(writer, graphs, state_dict, precision)
        return writer.commit(lambda files: _manifest(graph, tracker, precision, graphs, source, files))


def _weights(
    config: DetectorConfig, checkpoint: Path | str | None, random_weights: RandomWeights | None
) -> tuple[VppDetector, WeightsSource]:
    if random_weights is not None:
        seed = random_weights.seed
        return randomise_(VppDetector(config), seed), WeightsSource(kind="random", name="random weights", seed=seed)
    path = shipped_weights(config) if checkpoint is None else Path(checkpoint)
    if path is None:
        raise UsageError(
            f"export {config.name}: give a checkpoint, or ask for random weights explicitly "
            f"(weights come with the package only for {', '.join(SHIPPED_MODELS)})"
        )
    detector = load_detector(config, path)
    kind: Literal["checkpoint", "shipped"] = "shipped" if checkpoint is None else "checkpoint"
    name = path.name if checkpoint is not None else f"{config.name}/{path.name}"
    return detector, WeightsSource(kind=kind, name=name, sha256=sha256_of_file(path))


def _manifest(
    graph: FrameGraph,
    tracker: TrackerSpec,
    precision: Precision,
    graphs: Graphs,
    source: WeightsSource,
    files: Mapping[str, FileRecord],
) -> VppManifest:
    config, options = graph.detector.config, graph.options
    return VppManifest(
        model=ModelSpec(
            name=config.name,
            family="vpp",
            keep_schedule=config.keep.name,
            dataset=config.dataset,
            config=config.to_dict(),
        ),
        precision=precision,
        frame_size=options.frame_size,
        patch_size=PATCH_SIZE,
        token_grid=options.token_grid,
        preprocessing=Preprocessing(mean=IMAGE_MEAN, std=IMAGE_STD),
        detection=DetectionSpec(
            num_queries=config.head.queries,
            query_width=config.head.width,
            max_tracks=options.max_tracks,
            max_detections=options.max_detections,
        ),
        tracker=tracker,
        class_names=config.class_names,
        selection_points=selection_points(graph),
        graphs=graph_specs(graphs),
        state=graphs["step"][1].state,
        weights_file=WEIGHTS_FILE,
        provenance=provenance(source),
        files=dict(files),
    )
