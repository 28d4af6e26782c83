"""From a VPP model and its weights to a bundle on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx

from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FRAME_BY_FRAME, FileRecord, GraphRole, ModelSpec, WeightsProvenance
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.segmentation_manifest import DetectionSpec, Preprocessing, SegmentationManifest, TrackerSpec
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.exporters.checkpoint import CheckpointFile, check_weights, checkpoint_record
from vpp_deploy.exporters.graphs import WEIGHTS_FILE, Graphs, graph_specs, provenance, write_graphs
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.exporters.trace import trace
from vpp_deploy.families.vpp.checkpoint import load_detector, official_state_dict
from vpp_deploy.families.vpp.config import IMAGE_MEAN, IMAGE_STD, PATCH_SIZE, DetectorConfig
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.folding import folded
from vpp_deploy.families.vpp.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.families.vpp.options import VppOptions, config_of
from vpp_deploy.families.vpp.phases import PhaseGraph, pruning_points, signature
from vpp_deploy.families.vpp.random_weights import randomise_
from vpp_deploy.families.vpp.shipped import shipped_weights
from vpp_deploy.options import Step

_SHARES: Final = (0.1, 0.52)
"""Of an export's time when the tracing of each graph begins."""


def export_request(request: ExportRequest, options: VppOptions) -> Bundle:
    """Export a VPP model: both graphs, their shared weights and the manifest.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ExportError: impossible size, a weight beyond the range of the precision, or a graph that a backend could not
            run.
        OutputError: the bundle cannot be written.
    """
    config, progress = config_of(request, options), request.progress
    tracker = TrackerSpec()
    graph_options = GraphOptions(
        request.size or config.frame_size,
        options.max_tracks,
        options.max_detections,
        tracker.new_score,
        tracker.track_score,
        selection_noise=options.selection_noise,
    )
    with BundleWriter(request.out, overwrite=request.overwrite) as writer:
        progress("loading weights")
        detector, source = _weights(config, request)
        check_weights(detector, config.name, request.allow_nonfinite)
        graph = FrameGraph(folded(detector.eval()), graph_options).eval().requires_grad_(False)
        graphs: dict[GraphRole, tuple[onnx.ModelProto, GraphSignature]] = {}
        for role, share in zip(FRAME_BY_FRAME, _SHARES, strict=True):
            progress(Step(f"tracing the {role} graph", share))
            signed = signature(graph, role)
            graphs[role] = trace(PhaseGraph(graph, role), signed, config.name, "frame_graph.detector"), signed
        progress(Step("writing the bundle", 0.95))
        state_dict = {name: tensor.detach().numpy() for name, tensor in official_state_dict(detector).items()}
        write_graphs(writer, graphs, state_dict, request.precision)
        return writer.commit(lambda files: _manifest(graph, tracker, request.precision, graphs, source, files))


def _weights(config: DetectorConfig, request: ExportRequest) -> tuple[VppDetector, WeightsProvenance]:
    if request.random_weights is not None:
        seed = request.random_weights.seed
        return randomise_(VppDetector(config), seed), WeightsProvenance(kind="random", name="random weights", seed=seed)
    if request.checkpoint is not None:
        source = CheckpointFile(request.checkpoint, request.weights, request.note)
        return load_detector(config, source), checkpoint_record(request.checkpoint)
    path = shipped_weights(config)
    assert path is not None  # `options.check` saw to that
    record = WeightsProvenance(kind="shipped", name=f"{config.name}/{path.name}", sha256=sha256_of_file(path))
    return load_detector(config, path), record


def _manifest(
    graph: FrameGraph,
    tracker: TrackerSpec,
    precision: str,
    graphs: Graphs,
    source: WeightsProvenance,
    files: Mapping[str, FileRecord],
) -> SegmentationManifest:
    config, options = graph.detector.config, graph.options
    return SegmentationManifest(
        model=ModelSpec(
            name=config.name,
            family="vpp",
            task="segmentation",
            keep_schedule=config.keep.name,
            dataset=config.dataset,
            config=config.to_dict(),
        ),
        precision=precision,
        frame_size=options.frame_size,
        patch_size=PATCH_SIZE,
        token_grid=options.token_grid,
        blocks=len(graph.detector.backbone.blocks),
        preprocessing=Preprocessing(mean=IMAGE_MEAN, std=IMAGE_STD),
        detection=DetectionSpec(
            num_queries=config.head.queries,
            query_width=config.head.width,
            max_tracks=options.max_tracks,
            max_detections=options.max_detections,
        ),
        tracker=tracker,
        class_names=config.class_names,
        pruning_points=pruning_points(graph),
        graphs=graph_specs(graphs),
        state=graphs["step"][1].state,
        weights_file=WEIGHTS_FILE,
        provenance=provenance(source),
        files=dict(files),
    )
