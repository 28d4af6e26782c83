"""Tracing a frame graph into ONNX, one graph per phase, with `vpp::` nodes still in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from vpp_deploy import ops
from vpp_deploy.bundle.manifest import Phase, SelectionPoint, StateSpec, TensorSpec
from vpp_deploy.errors import ExportError
from vpp_deploy.models.backbone import BackboneState
from vpp_deploy.models.config import STAGE_BLOCKS
from vpp_deploy.models.frame_graph import FrameGraph

_DTYPES = {torch.float32: "float32", torch.int32: "int32", torch.uint8: "uint8", torch.bool: "bool"}
STATE_NAMES = BackboneState._fields
_DETECTOR = "frame_graph.detector."
_ROOT = "frame"


@dataclass(frozen=True)
class GraphSignature:
    """Names, shapes and dtypes of one phase's inputs and outputs, in graph order."""

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


class PhaseGraph(nn.Module):
    """A frame graph with positional tensors only, as a trace needs it.

    Args:
        graph: the function to export.
        phase: `init` takes the frame alone; `step` takes track queries and state too.
    """

    def __init__(self, graph: FrameGraph, phase: Phase) -> None:
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
    """What the phase's graph takes and gives, found by running the model once without weights (meta device)."""
    options, config = graph.options, graph.detector.config
    height, width = options.frame_size
    rows, columns = options.token_grid
    examples = {"frame": torch.zeros(height, width, 3, dtype=torch.uint8)}
    examples["content_size"] = torch.tensor([height, width], dtype=torch.int32)
    if phase == "step":
        examples["track_queries"] = torch.zeros(options.max_tracks, config.head.width)
        examples["track_valid"] = torch.zeros(options.max_tracks, dtype=torch.bool)
    if options.selection_noise:
        examples["selection_noise"] = torch.zeros(4, rows * columns, 2)
    state, state_examples = _state_specs(graph)
    points = [point.output for point in selection_points(graph) if phase in point.phases]
    classes, queries = len(config.class_names), config.head.queries
    candidates = min(options.max_detections, queries + (options.max_tracks if phase == "step" else 0))
    kept = {point.output: point.kept for point in selection_points(graph)}
    outputs = (
        TensorSpec(name="class_logits", dtype="float32", shape=(candidates, classes + 1)),
        TensorSpec(name="mask_logits", dtype="float32", shape=(candidates, height // 4, width // 4)),
        TensorSpec(name="query_features", dtype="float32", shape=(candidates, config.head.width)),
        TensorSpec(name="query_indices", dtype="int32", shape=(candidates,)),
        TensorSpec(name="candidates", dtype="int32", shape=(1,)),
        *(TensorSpec(name=name, dtype="int32", shape=(kept[name],)) for name in points),
    )
    inputs = tuple(_spec(name, tensor) for name, tensor in examples.items())
    example = (*examples.values(), *(state_examples if phase == "step" else ()))
    return GraphSignature(phase, inputs, outputs, state, example)


def trace(graph: FrameGraph, phase: Phase) -> tuple[onnx.ModelProto, GraphSignature]:
    """The phase's graph as ONNX, with portable bodies for its `vpp::` nodes.

    Nodes are named after the module that they come from, e.g. `backbone/blocks.3/MatMul_7`.

    Raises:
        ExportError: PyTorch cannot trace the model.
    """
    signed = signature(graph, phase)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                PhaseGraph(graph, phase).eval(),
                signed.example,
                dynamo=True,
                opset_version=ops.OPSET,
                input_names=signed.input_names,
                output_names=signed.output_names,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many types
        cause = error.__cause__ or error
        reason = str(cause).strip().partition("\n")[0]
        name = graph.detector.config.name
        raise ExportError(f"PyTorch could not trace the {phase} graph of {name}: {reason}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _name_nodes(model)
    _drop_metadata(model)
    ops.attach_portable_functions(model)
    return model, signed


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
        for number, (name, tensor) in enumerate(zip(STATE_NAMES, examples, strict=True))
    ]
    return tuple(specs), examples


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    return TensorSpec(name=name, dtype=_DTYPES[tensor.dtype], shape=tuple(tensor.shape))  # type: ignore[arg-type]


def _name_nodes(model: onnx.ModelProto) -> None:
    """Name nodes after the PyTorch module they come from, so that a profile can be read by part of the model."""
    path = _ROOT
    for number, node in enumerate(model.graph.node):
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes")
        if scopes:  # nodes that the exporter's optimiser made have none: they belong to their neighbours
            path = _innermost_module(scopes)
        node.name = f"{path}/{node.op_type}_{number}"


def _drop_metadata(model: onnx.ModelProto) -> None:
    """The exporter notes its stack traces, with the paths of this machine, on every node and value."""
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def _innermost_module(scopes: str) -> str:
    """`"['', 'frame_graph', 'frame_graph.detector.backbone.blocks.3', 'add']"` to `backbone/blocks.3`."""
    names = [name.strip(" '\"") for name in scopes.strip("[]").split(",")]
    modules = [name for name in names if name.startswith(_DETECTOR)]
    return modules[-1].removeprefix(_DETECTOR).replace(".", "/", 1) if modules else _ROOT


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints progress and warns of its own internals; an export of ours says what matters itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
