"""The two graphs of a VPP model: what they take and give, and the module to trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.manifest import GraphRole, StateSpec, TensorSpec
from vpp_deploy.bundle.segmentation_manifest import PruningPoint
from vpp_deploy.exporters.signature import GraphSignature, state_specs, tensor_spec
from vpp_deploy.families.vpp.backbone import BackboneState
from vpp_deploy.families.vpp.config import STAGE_BLOCKS
from vpp_deploy.families.vpp.frame_graph import FrameGraph


class PhaseGraph(nn.Module):
    """A frame graph with positional tensors only, as a trace needs it.

    Args:
        graph: the function to export.
        phase: `init` takes the frame alone; `step` takes track queries and state too.
    """

    def __init__(self, graph: FrameGraph, phase: GraphRole) -> None:
        super().__init__()
        self.frame_graph, self.phase = graph, phase

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Inputs and outputs in the order of the `GraphSignature`."""
        remaining = list(tensors)
        arguments: dict[str, Any] = {"frame": remaining.pop(0), "content_size": remaining.pop(0)}
        if self.phase == "step":
            arguments |= {"track_queries": remaining.pop(0), "track_valid": remaining.pop(0)}
        if self.frame_graph.options.selection_noise:
            arguments["selection_noise"] = remaining.pop(0)
        if remaining:
            arguments["state"] = BackboneState(*remaining)
        *outputs, kept, state = self.frame_graph(**arguments)
        return (*outputs, *kept, *(state or ()))


def pruning_points(graph: FrameGraph) -> tuple[PruningPoint, ...]:
    """The selection points of the model, in the order of the blocks."""
    backbone = graph.detector.backbone
    blocks = [1, *(STAGE_BLOCKS * stage for stage in range(1, len(backbone.keep.ratios)))]
    kept = backbone.kept_tokens(graph.options.token_grid)
    return tuple(
        PruningPoint(
            name="map_selection" if block == 1 else f"selection_{block}",
            block=block,
            output="kept_map_selection" if block == 1 else f"kept_selection_{block}",
            keep_ratio=ratio,
            kept=count,
            phases=("step",) if block == 1 else ("init", "step"),
        )
        for block, ratio, count in zip(blocks[: len(kept)], backbone.keep.ratios, kept, strict=True)
    )


def signature(graph: FrameGraph, phase: GraphRole) -> GraphSignature:
    """What the phase's graph takes and gives."""
    state, state_examples = _state_specs(graph)
    examples = _example_inputs(graph, phase)
    inputs = tuple(tensor_spec(name, tensor) for name, tensor in examples.items())
    example = (*examples.values(), *(state_examples if phase == "step" else ()))
    return GraphSignature(phase, inputs, _outputs(graph, phase), state, example)


def _example_inputs(graph: FrameGraph, phase: GraphRole) -> dict[str, Tensor]:
    options = graph.options
    rows, columns = options.token_grid
    examples = {
        "frame": torch.zeros(*options.frame_size, 3, dtype=torch.uint8),
        "content_size": torch.tensor(options.frame_size, dtype=torch.int32),
    }
    if phase == "step":
        examples["track_queries"] = torch.zeros(options.max_tracks, graph.detector.config.head.width)
        examples["track_valid"] = torch.zeros(options.max_tracks, dtype=torch.bool)
    if options.selection_noise:
        examples["selection_noise"] = torch.zeros(4, rows * columns, 2)
    return examples


def _outputs(graph: FrameGraph, phase: GraphRole) -> tuple[TensorSpec, ...]:
    options, config = graph.options, graph.detector.config
    height, width = options.frame_size
    queries = config.head.queries + (options.max_tracks if phase == "step" else 0)
    candidates = min(options.max_detections, queries)
    points = [point for point in pruning_points(graph) if phase in point.phases]
    return (
        TensorSpec(name="class_logits", dtype="float32", shape=(candidates, len(config.class_names) + 1)),
        TensorSpec(name="mask_logits", dtype="float32", shape=(candidates, height // 4, width // 4)),
        TensorSpec(name="query_features", dtype="float32", shape=(candidates, config.head.width)),
        TensorSpec(name="query_indices", dtype="int32", shape=(candidates,)),
        TensorSpec(name="candidates", dtype="int32", shape=(1,)),
        *(TensorSpec(name=point.output, dtype="int32", shape=(point.kept,)) for point in points),
    )


def _state_specs(graph: FrameGraph) -> tuple[tuple[StateSpec, ...], tuple[Tensor, ...]]:
    if graph.detector.config.keep.is_dense:
        return (), ()
    kept, width = pruning_points(graph)[1].kept, graph.detector.config.backbone.width
    positions = torch.arange(kept, dtype=torch.int32)
    examples = (torch.zeros(kept, width), torch.zeros(kept, width), positions)
    return state_specs(BackboneState._fields, examples), examples
