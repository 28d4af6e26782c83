"""What goes into a phase's graph and what comes out: names, shapes, dtypes, and an example to trace with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vpp_deploy.bundle.manifest import Phase, SelectionPoint, StateSpec, TensorSpec
from vpp_deploy.models.backbone import BackboneState
from vpp_deploy.models.config import STAGE_BLOCKS
from vpp_deploy.models.frame_graph import FrameGraph

_DTYPES = {torch.float32: "float32", torch.int32: "int32", torch.uint8: "uint8", torch.bool: "bool"}


@dataclass(frozen=True)
class GraphSignature:
    """One phase's inputs and outputs, in graph order.

    Attributes:
        phase: `init` or `step`.
        inputs: without state.
        outputs: without state.
        state: outputs of both phases, inputs of the step graph.
        example: a tensor for each input, state last.
    """

    phase: Phase
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: tuple[StateSpec, ...]
    example: tuple[Tensor, ...]

    @property
    def input_names(self) -> list[str]:
        """All inputs, state last."""
        return [tensor.name for tensor in self.inputs] + [state.input for state in self._state_inputs]

    @property
    def output_names(self) -> list[str]:
        """All outputs, state last."""
        return [tensor.name for tensor in self.outputs] + [state.output for state in self.state]

    @property
    def _state_inputs(self) -> tuple[StateSpec, ...]:
        return self.state if self.phase == "step" else ()


def selection_points(graph: FrameGraph) -> tuple[SelectionPoint, ...]:
    """The selection points of the model, in the order of the blocks."""
    backbone = graph.detector.backbone
    blocks = [1, *(STAGE_BLOCKS * stage for stage in range(1, len(backbone.keep.ratios)))]
    kept = backbone.kept_tokens(graph.options.token_grid)
    return tuple(
        SelectionPoint(
            name="map_selection" if block == 1 else f"selection_{block}",
            block=block,
            output="kept_map_selection" if block == 1 else f"kept_selection_{block}",
            keep_ratio=ratio,
            kept=count,
            phases=("step",) if block == 1 else ("init", "step"),
        )
        for block, ratio, count in zip(blocks[: len(kept)], backbone.keep.ratios, kept, strict=True)
    )


def signature(graph: FrameGraph, phase: Phase) -> GraphSignature:
    """What the phase's graph takes and gives."""
    state, state_examples = _state_specs(graph)
    examples = _example_inputs(graph, phase)
    inputs = tuple(_spec(name, tensor) for name, tensor in examples.items())
    example = (*examples.values(), *(state_examples if phase == "step" else ()))
    return GraphSignature(phase, inputs, _outputs(graph, phase), state, example)


def _example_inputs(graph: FrameGraph, phase: Phase) -> dict[str, Tensor]:
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


def _outputs(graph: FrameGraph, phase: Phase) -> tuple[TensorSpec, ...]:
    options, config = graph.options, graph.detector.config
    height, width = options.frame_size
    queries = config.head.queries + (options.max_tracks if phase == "step" else 0)
    candidates = min(options.max_detections, queries)
    points = [point for point in selection_points(graph) if phase in point.phases]
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
    kept, width = selection_points(graph)[1].kept, graph.detector.config.backbone.width
    positions = torch.arange(kept, dtype=torch.int32)
    examples = (torch.zeros(kept, width), torch.zeros(kept, width), positions)
    specs = [
        StateSpec(
            name=name,
            dtype=_DTYPES[tensor.dtype],  # type: ignore[arg-type]
            shape=tuple(tensor.shape),
            input=f"state_in_{number:02}_{name}",
            output=f"state_out_{number:02}_{name}",
        )
        for number, (name, tensor) in enumerate(zip(BackboneState._fields, examples, strict=True))
    ]
    return tuple(specs), examples


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    return TensorSpec(name=name, dtype=_DTYPES[tensor.dtype], shape=tuple(tensor.shape))  # type: ignore[arg-type]
