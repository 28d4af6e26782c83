"""Tracing a PyTorch module into ONNX, with `vpp::` nodes still in it."""

from __future__ import annotations

import ast
import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from onnxscript.rewriter.rules.common import slice_split_rule
from torch import nn

from vpp_deploy import ops
from vpp_deploy.errors import ExportError, VppDeployError
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.files import interrupts

_ROOT = "frame"


def trace(module: nn.Module, signed: GraphSignature, model: str, parts: str) -> onnx.ModelProto:
    """A module as ONNX, with portable bodies for its `vpp::` nodes.

    Nodes are named after the part of the model that they come from, e.g. `backbone/blocks.3/MatMul_7`.

    Args:
        module: takes and gives tensors in the order of the signature.
        signed: its signature.
        model: the model's name, for messages.
        parts: path inside `module` of the submodule that nodes are named after.

    Raises:
        ExportError: PyTorch cannot trace the module.
    """
    try:
        with _quiet(), _without_slice_split(), _without_garbage_collection(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                signed.example,
                dynamo=True,
                opset_version=ops.OPSET,
                input_names=signed.input_names,
                output_names=signed.output_names,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many types
        interrupts.let_pass(error)
        cause = error.__cause__ or error
        if isinstance(cause, VppDeployError):
            raise cause from error
        reason = str(cause).strip().partition("\n")[0]
        raise ExportError(f"PyTorch could not trace the {signed.role} graph of {model}: {reason}") from error
    assert program is not None
    traced: onnx.ModelProto = program.model_proto
    _name_nodes(traced, f"{parts}.")
    _drop_metadata(traced)
    ops.attach_portable_functions(traced)
    return traced


def _name_nodes(model: onnx.ModelProto, parts: str) -> None:
    """Name nodes after the PyTorch module they come from, so that a profile can be read by part of the model."""
    path = _ROOT
    for number, node in enumerate(model.graph.node):
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes")
        if scopes:  # nodes that the exporter's optimiser made have none: they belong to their neighbours
            path = _innermost_module(scopes, parts)
        node.name = f"{path}/{node.op_type}_{number}"


def _drop_metadata(model: onnx.ModelProto) -> None:
    """The exporter notes its stack traces, with the paths of this machine, on every node and value."""
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def _innermost_module(scopes: str, parts: str) -> str:
    """`"['', 'frame_graph', 'frame_graph.detector.backbone.blocks.3', 'add']"` to `backbone/blocks.3`."""
    modules = [name for name in ast.literal_eval(scopes) if name.startswith(parts)]
    return modules[-1].removeprefix(parts).replace(".", "/", 1) if modules else _ROOT


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


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """What a trace makes, millions of objects, lives to its end: looking for garbage in it is a fifth of an export."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _without_slice_split() -> Iterator[None]:
    """At each node the exporter's optimiser walks the whole graph for slices to join to a split: half of an export."""
    slice_split_rule.try_rewrite = lambda *arguments, **options: None
    try:
        yield
    finally:
        vars(slice_split_rule).pop("try_rewrite", None)
