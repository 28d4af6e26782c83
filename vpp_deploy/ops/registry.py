"""The ops of the `vpp` domain, and the two things done with them: attach portable bodies, lower for a backend."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, Final, Literal

import onnx
import onnx.inliner

from vpp_deploy.errors import ExportError, IncompatibleEngineError
from vpp_deploy.ops.associate_tokens import ASSOCIATE_TOKENS
from vpp_deploy.ops.base import DOMAIN, OPSET, VERSION, NodeSignature, OpDefinition, Shape
from vpp_deploy.ops.deformable_attention import DEFORMABLE_ATTENTION
from vpp_deploy.ops.gather_scatter import GATHER_TOKENS, SCATTER_TOKENS
from vpp_deploy.ops.merge_tokens import MATCH_TOKENS, MERGE_TOKENS
from vpp_deploy.ops.select_tokens import SELECT_TOKENS

OPS: dict[str, OpDefinition] = {
    op.name: op
    for op in (
        SELECT_TOKENS,
        GATHER_TOKENS,
        SCATTER_TOKENS,
        ASSOCIATE_TOKENS,
        DEFORMABLE_ATTENTION,
        MATCH_TOKENS,
        MERGE_TOKENS,
    )
}
STANDARD_DOMAINS: Final = ("", "ai.onnx")
"""Two names of one domain."""
_LOWERED_DOMAIN = f"{DOMAIN}.lowered"
PluginForm = Literal["library", "embedded", "native"]
"""Where a plugin's kernel comes from: a shared library, or PTX in the engine (TensorRT); a library of custom ops (ONNX
Runtime).
"""

PLUGIN_NAMESPACES: Final[dict[PluginForm, str]] = {"library": "", "embedded": DOMAIN}
"""As plugins/tensorrt/op_plugin.h and `vpp_deploy.engines.tensorrt.embedded_plugins` register them."""


def vpp_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the `vpp` domain in the main graph, in graph order.

    Raises:
        ExportError: a node's op type is not one of `OPS`.
    """
    for node in model.graph.node:
        if node.domain == DOMAIN:
            if node.op_type not in OPS:
                raise ExportError(f"unknown op {DOMAIN}::{node.op_type} in node {node.name!r}; known: {', '.join(OPS)}")
            yield node


def undeclared(model: onnx.ModelProto, allowed: Set[str]) -> onnx.NodeProto | None:
    """The first node of the main graph that is neither one of `OPS` nor an allowed standard op; None if there is none.

    Args:
        model: any model.
        allowed: op types of the standard domain.
    """
    node: onnx.NodeProto
    for node in model.graph.node:
        is_ours = node.domain == DOMAIN and node.op_type in OPS
        if not is_ours and (node.domain not in STANDARD_DOMAINS or node.op_type not in allowed):
            return node
    return None


def op_name(node: onnx.NodeProto) -> str:
    """A node's op as messages name it: `Add`, `vpp::GatherTokens`."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def attach_portable_functions(model: onnx.ModelProto) -> None:
    """Give the model the portable body of every `vpp` op that it uses, so that any ONNX runtime can run it as it is."""
    strip_functions(model)
    for name in sorted({node.op_type for node in vpp_nodes(model)}):
        model.functions.append(OPS[name].portable_function())
    _import_domain(model, DOMAIN, VERSION)


def strip_functions(model: onnx.ModelProto) -> None:
    """Remove the `vpp` function bodies; a backend then needs a plugin for each `vpp` node."""
    kept = [function for function in model.functions if function.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend(kept)


def lower(model: onnx.ModelProto, backend: str, *, plugins: PluginForm | None = None) -> onnx.ModelProto:
    """Replace every `vpp` node by standard ONNX nodes in the form that suits `backend`.

    Args:
        model: a model with `vpp` nodes whose inputs have static shapes (as every exported graph has); not changed.
        backend: `onnxruntime`, `openvino` or `tensorrt`; any other name takes the portable bodies.
        plugins: keep the nodes whose op has a plugin of this kind. `native`: as they are. Else in the form in which
            TensorRT's parser finds them: domain `vpp`, the plugin's name as op type, its version and namespace as
            attributes.

    Returns:
        A model with standard ONNX ops and, with `plugins`, plugin nodes. Node names of inlined bodies start with the
        name of the node they replace; plugin nodes keep theirs.

    Raises:
        ExportError: an unknown op, or a node whose inputs or attributes are not what its op takes.
        IncompatibleEngineError: the model was exported with another version of the ops.
    """
    for entry in model.opset_import:
        if entry.domain == DOMAIN and entry.version != VERSION:
            raise IncompatibleEngineError(
                f"the graph uses version {entry.version} of the {DOMAIN} ops, this vpp-deploy has version {VERSION}; "
                "export the bundle again"
            )
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    strip_functions(lowered)
    for number, (node, signature) in enumerate(_signatures(lowered)):
        if problem := OPS[node.op_type].misfit(signature):
            raise ExportError(f"node {node.name!r:.80} of the op {op_name(node)} {problem}")
        if plugins == "native" and OPS[node.op_type].native:
            continue
        in_several = plugins == "embedded" and plugins in OPS[node.op_type].lowerings
        if plugins and plugins != "native" and OPS[node.op_type].plugin and not in_several:
            _make_plugin(node, plugins)
            continue
        function_name = f"{node.op_type}_{number}"
        form = "embedded" if in_several else backend
        function = OPS[node.op_type].lowered_function(form, signature, function_name, _LOWERED_DOMAIN)
        for inner in function.node:
            inner.name = f"{node.name}/{inner.op_type}"
        lowered.functions.append(function)
        node.domain, node.op_type = _LOWERED_DOMAIN, function_name
        if not function.attribute:  # specialised to them
            del node.attribute[:]
    _import_domain(lowered, _LOWERED_DOMAIN, 1)
    return onnx.inliner.inline_local_functions(lowered)


def _signatures(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, NodeSignature]]:
    """The `vpp` nodes with their attributes and the static shapes of their inputs; `()` where one is not known."""
    shapes = _static_shapes(model)
    for node in vpp_nodes(model):
        yield node, NodeSignature(_attributes(node), tuple(shapes.get(name, ()) for name in node.input))


def _make_plugin(node: onnx.NodeProto, form: PluginForm) -> None:
    op, values = OPS[node.op_type], _attributes(node)
    attributes = {name: values[name] for name in op.attributes}  # in order: embedded plugins get them by position
    attributes |= {"plugin_version": "1", "plugin_namespace": PLUGIN_NAMESPACES[form]}
    if form == "embedded":
        attributes["aot"] = 1
    node.op_type = op.plugin or node.op_type
    del node.attribute[:]
    node.attribute.extend(onnx.helper.make_attribute(*item) for item in attributes.items())


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _import_domain(model: onnx.ModelProto, domain: str, version: int) -> None:
    if all(entry.domain != domain for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(domain, version))
    for entry in model.opset_import:
        if entry.domain == "" and entry.version != OPSET:
            raise ExportError(f"the graph uses opset {entry.version}; vpp bodies are written for opset {OPSET}")


def _static_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    graph = model.graph
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.output, *graph.value_info):
        dims = info.type.tensor_type.shape.dim
        shapes[info.name] = tuple(dim.dim_value for dim in dims)
    return shapes
