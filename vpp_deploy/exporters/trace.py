"""Tracing a frame graph into ONNX, one graph per phase, with `vpp::` nodes still in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from vpp_deploy import ops
from vpp_deploy.bundle.manifest import Phase
from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.signature import GraphSignature, signature
from vpp_deploy.models.backbone import BackboneState
from vpp_deploy.models.frame_graph import FrameGraph

_DETECTOR = "frame_graph.detector."
_ROOT = "frame"


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
