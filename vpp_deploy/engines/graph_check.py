"""Whether a graph is what its bundle promises: asked before anything else is done with a stranger's file.

Every function here yields problems as the ends of sentences that begin with the graph; whoever asks takes the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Final

import onnx
from onnx import AttributeProto, TensorProto

from vpp_deploy import ops
from vpp_deploy.bundle.external_data import item_bytes
from vpp_deploy.bundle.manifest import GraphRole, Manifest, TensorSpec
from vpp_deploy.files import interrupts
from vpp_deploy.ops.standard import QUANTISING_OPS, STANDARD_OPS

_TYPES: Final = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
_OPTIMISED_DOMAINS: Final = (*ops.STANDARD_DOMAINS, "com.microsoft")
"""Of the nodes in a graph that ONNX Runtime has optimised."""
_SUBGRAPHS: Final = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def bundle_graph_problems(
    model: onnx.ModelProto, manifest: Manifest, role: GraphRole, stored: Mapping[str, int]
) -> Iterator[str]:
    """What is wrong with a graph as it was exported.

    Args:
        model: the graph.
        manifest: what it should be.
        role: which graph of the bundle.
        stored: bytes of each file that its constants may point into, by the name it must use.
    """
    yield from _text_problems(model)
    if (node := ops.undeclared(model, STANDARD_OPS | QUANTISING_OPS)) is not None:
        yield f"uses the op {ops.op_name(node)!r:.80}, which no export writes"
    if foreign := [function.name for function in model.functions if function.domain != ops.DOMAIN]:
        yield f"holds the function {foreign[0]!r:.80}, which no export writes"
    if [entry.version for entry in model.opset_import if entry.domain in ops.STANDARD_DOMAINS] != [ops.OPSET]:
        yield f"is not of opset {ops.OPSET}"
    yield from _common_problems(model, manifest, role, stored)


def engine_graph_problems(
    model: onnx.ModelProto, manifest: Manifest, role: GraphRole, stored: Mapping[str, int], *, native: bool = False
) -> Iterator[str]:
    """What is wrong with a graph of an engine that ONNX Runtime loads.

    Args:
        model: the graph.
        manifest: what it should be.
        role: which graph of the bundle.
        stored: bytes of each file that its constants may point into, by the name it must use.
        native: the engine was built with the library of native ops.
    """
    yield from _text_problems(model)
    if foreign := [node for node in model.graph.node if not _is_optimised(node, native=native)]:
        yield f"uses the op {ops.op_name(foreign[0])!r:.80}, which no build writes"
    if model.functions:
        yield f"holds the function {model.functions[0].name!r:.80}, which no build writes"
    yield from _common_problems(model, manifest, role, stored)


def _is_optimised(node: onnx.NodeProto, *, native: bool) -> bool:
    if node.domain == ops.DOMAIN:
        return native and node.op_type in ops.OPS and ops.OPS[node.op_type].native
    return node.domain in _OPTIMISED_DOMAINS


def _text_problems(model: onnx.ModelProto) -> Iterator[str]:
    """Protobuf gives text that is not UTF-8 as bytes, which nothing behind this expects."""
    if any(isinstance(text, bytes) for text in _texts(model)):
        yield "holds a name that is not UTF-8"


def _texts(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    for entry in model.opset_import:
        yield entry.domain
    for function in model.functions:
        yield from (function.name, function.domain)
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name
    for tensor in graph.initializer:
        yield tensor.name
        for place in tensor.external_data:
            yield from (place.key, place.value)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _common_problems(
    model: onnx.ModelProto, manifest: Manifest, role: GraphRole, stored: Mapping[str, int]
) -> Iterator[str]:
    graph = model.graph
    for node in graph.node:
        if any(attribute.type in _SUBGRAPHS for attribute in node.attribute):
            yield f"holds a graph within the node {node.name!r:.80}, which no export writes"
    if graph.sparse_initializer:
        yield "holds sparse constants, which no export writes"
    for direction, found, expected in (
        ("input", graph.input, manifest.inputs_of(role)),
        ("output", graph.output, manifest.outputs_of(role)),
    ):
        yield from _interface_problems(direction, found, expected)
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    inner = [tensor for item in attributes for tensor in (*([item.t] if item.HasField("t") else ()), *item.tensors)]
    for tensor in inner:
        yield from _constant_problems(tensor, {})
    for tensor in graph.initializer:
        yield from _constant_problems(tensor, stored)


def _interface_problems(
    direction: str, found: Iterable[onnx.ValueInfoProto], expected: Mapping[str, TensorSpec]
) -> Iterator[str]:
    ours = {info.name: _described(info) for info in found}
    promised = {name: (_TYPES[spec.dtype], spec.shape) for name, spec in expected.items()}
    for name in sorted(ours.keys() | promised.keys()):
        if ours.get(name) != promised.get(name):
            yield (
                f"has the {direction} {name!r:.80} as {_in_words(ours.get(name))}, the manifest says "
                f"{_in_words(promised.get(name))}"
            )


_Described = tuple[int, tuple[int, ...]]


def _described(info: onnx.ValueInfoProto) -> _Described:
    """Type and shape; an axis of unknown length is -1, and what is no tensor has the type 0."""
    kind = info.type.tensor_type
    lengths = (axis.dim_value if axis.HasField("dim_value") else -1 for axis in kind.shape.dim)
    return kind.elem_type, tuple(lengths)


def _in_words(described: _Described | None) -> str:
    if described is None:
        return "none"
    names: dict[int, str] = {value: name for name, value in _TYPES.items()}
    return f"{names.get(described[0], f'type {described[0]}')} {list(described[1])!s:.80}"


def _constant_problems(tensor: TensorProto, stored: Mapping[str, int]) -> Iterator[str]:
    """A constant must have as many bytes as its shape needs, in the graph or in a file beside it."""
    label = f"has the constant {tensor.name!r:.80}"
    size = item_bytes(tensor.data_type)
    if size is None or any(length < 0 for length in tensor.dims):
        yield f"{label} of type {tensor.data_type} and shape {list(tensor.dims)!s:.80}"
        return
    count = prod(tensor.dims)
    if tensor.data_location != TensorProto.EXTERNAL:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        is_complete = (
            len(tensor.raw_data) == count * size if tensor.HasField("raw_data") else sum(map(len, fields)) == count
        )
        if not is_complete:
            yield f"{label} of shape {list(tensor.dims)!s:.80} without the values for it"
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    location, offset, length = (
        place.get("location", ""),
        place.get("offset", "0"),
        place.get("length", str(count * size)),
    )
    if location not in stored:
        yield f"{label} in the file {location!r:.80}, where only {', '.join(stored) or 'none'} can be"
    elif not (offset.isascii() and offset.isdigit() and len(offset) < 20 and length == str(count * size)):
        yield f"{label} of {count * size} bytes at {offset!r:.40}, length {length!r:.40}"
    elif int(offset) + count * size > stored[location]:
        yield f"{label} beyond the end of {location!r:.80}"


def peak_bytes(model: onnx.ModelProto, named: frozenset[str], stored: int) -> int:
    """What running a graph takes: the tensors that are alive at once, node by node, and constants that are in no file.

    Args:
        model: standard ONNX: a lowered graph.
        named: tensors that the exported graph computes. Each must have a static shape; what lowering added need not.
        stored: bytes of constants that the weights file accounts for.

    Raises:
        ValueError: the graph contradicts itself, or such a tensor has no static shape; with a problem as above.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # onnx raises several types of its own, and those of protobuf
        interrupts.let_pass(error)
        raise ValueError(f"contradicts itself ({' '.join(str(error).split())!s:.200})") from error
    sizes = {info.name: _nbytes(info) for info in (*graph.value_info, *graph.input, *graph.output)}
    if missing := sorted(name for name in named if sizes.get(name) is None):
        raise ValueError(f"computes {missing[0]!r:.80}, whose shape is not static")
    constants = sum(prod(tensor.dims) * (item_bytes(tensor.data_type) or 0) for tensor in graph.initializer)
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    alive: int = max(0, constants - stored) + sum(sizes[info.name] or 0 for info in graph.input)
    peak = alive
    for place, node in enumerate(graph.node):
        alive += sum(sizes.get(name) or 0 for name in node.output)
        peak = max(peak, alive)
        alive -= sum(sizes.get(name) or 0 for name in {*node.input, *node.output} if last.get(name, place) == place)
    return peak


def _nbytes(info: onnx.ValueInfoProto) -> int | None:
    """Size in bytes of a tensor; None where it is not static."""
    dtype, lengths = _described(info)
    size = item_bytes(dtype)
    if size is None or not info.type.tensor_type.HasField("shape") or any(length < 0 for length in lengths):
        return None
    return prod(lengths) * size
