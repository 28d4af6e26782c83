"""Reduced precision: matrix products and convolutions in float16 or bfloat16, everything else in float32.

TensorRT networks are strongly typed: a layer computes in the type of its inputs. So precision is decided here, in the
graph, by Casts around the products. Inputs, outputs, state and `vpp` ops keep float32, and so do the products that a
decision is taken on directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from vpp_deploy import ops
from vpp_deploy.errors import ExportError
from vpp_deploy.precision import Precision

PRODUCTS: Final = {
    "float16": frozenset(["MatMul", "Gemm", "Conv", "ConvTranspose"]),
    "bfloat16": frozenset(["MatMul", "Gemm"]),
}
"""What computes in a smaller type. Convolutions have no bfloat16 before opset 22."""
LAYOUT: Final = frozenset(
    ["Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Concat", "Gather", "Identity"]
)
"""Ops that move values and compute none: they run in whatever type their data has."""
DECISIONS: Final = frozenset(["TopK", "ArgMax", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"])
SCORES: Final = frozenset(["class_logits", "logits"])
"""Graph outputs from which the host takes a label."""

_MOVING_VPP_OPS: Final = frozenset(["SelectTokens", "GatherTokens", "ScatterTokens"])
"""`vpp` ops without a product inside."""
_TYPES: Final = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)


def reduce_precision(model: onnx.ModelProto, precision: Precision, label: str) -> None:
    """Make the products of a graph (`PRODUCTS`) compute in a smaller type, in place.

    A product's inputs are cast, each tensor once, and its result is cast back to float32. The bias of a linear layer,
    which is exported as MatMul and Add, belongs to the product. Between two products with nothing but `LAYOUT` ops
    between them, values stay in the smaller type. Products whose result reaches a decision (see `decisive_products`)
    stay float32. Initializers keep float32 and their names; engines fold their casts.

    float16 ends at 65504: weights beyond it are refused here; activations beyond it become infinite in the engine,
    which only a parity check can tell. bfloat16 has the range of float32.

    Args:
        model: a graph whose products have float32 inputs.
        precision: of the products; float32 changes nothing.
        label: the graph's name in messages.

    Raises:
        ExportError: a weight is beyond the range of float16.
    """
    if precision == "float32":
        return
    graph = model.graph
    decisive = decisive_products(graph)
    rewriting = _Rewriting(graph.initializer, precision, label)
    for node in graph.node:
        if _is(node, PRODUCTS[precision]) and node.output[0] not in decisive:
            rewriting.lower(node, data_inputs=len(node.input))
        elif node.op_type == "Add" and rewriting.adds_bias(node):
            rewriting.lower(node, data_inputs=2)
        elif _is(node, LAYOUT):
            rewriting.move(node)
        else:
            rewriting.nodes.append(node)
    used = {name for node in rewriting.nodes for name in node.input} | {tensor.name for tensor in graph.output}
    unused = rewriting.results - used
    nodes = [node for node in rewriting.nodes if node.output[0] not in unused]
    values = [value for value in graph.value_info if value.name not in unused]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.value_info.extend(values)


def decisive_products(graph: onnx.GraphProto) -> set[str]:
    """First outputs of the products that a decision is taken on: what reaches it without another product in between.

    Decisions are `DECISIONS`, `vpp::SelectTokens`, and the labels that the host takes from `SCORES`. The walk ends at
    the other `vpp` ops that hold a product: AssociateTokens and MatchTokens decide on a similarity that they compute
    themselves, in float32.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pending = [tensor.name for tensor in graph.output if tensor.name in SCORES]
    for node in graph.node:
        if _is(node, DECISIONS) or (node.domain == ops.DOMAIN and node.op_type == "SelectTokens"):
            pending += node.input
    seen: set[str] = set()
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in producers:
            continue
        seen.add(name)
        node = producers[name]
        if _is(node, PRODUCTS["float16"]):
            found.add(node.output[0])
        elif node.domain != ops.DOMAIN or node.op_type in _MOVING_VPP_OPS:
            pending += node.input
    return found


def _is(node: NodeProto, kinds: frozenset[str]) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in kinds


class _Rewriting:
    """One pass over a graph.

    Args:
        initializers: of the graph.
        precision: the smaller type.
        label: the graph's name in messages.

    Attributes:
        nodes: the new graph so far.
        results: float32 tensors that are cast from results of the smaller type, so that nothing is lost by using those.
    """

    def __init__(self, initializers: Iterable[TensorProto], precision: Precision, label: str) -> None:
        self.nodes: list[NodeProto] = []
        self.results: set[str] = set()
        self._matrix_products: set[str] = set()
        self._copies: dict[str, str] = {}  # a float32 tensor's copy in the smaller type
        self._weights = {tensor.name: tensor for tensor in initializers}  # and what layout ops make of them
        self._precision, self._label = precision, label

    def lower(self, node: NodeProto, data_inputs: int) -> None:
        """Run a node in the smaller type; its first inputs are data, the others stay as they are."""
        lowered = NodeProto()
        lowered.CopyFrom(node)
        lowered.input[:data_inputs] = [self._copy(name, node) for name in node.input[:data_inputs]]
        for index, name in enumerate(node.output):
            lowered.output[index] = self._copies[name] = self._copy_name(name)
        self.nodes.append(lowered)
        for name in node.output:
            self.results.add(name)
            self._cast(self._copies[name], name, TensorProto.FLOAT, node)
        if node.op_type == "MatMul":
            self._matrix_products.add(node.output[0])

    def adds_bias(self, node: NodeProto) -> bool:
        """Whether an Add adds a vector of weights to what a MatMul gave in the smaller type."""
        product, bias = node.input if node.input[0] in self._matrix_products else reversed(node.input)
        return product in self._matrix_products and bias in self._weights and len(self._weights[bias].dims) == 1

    def move(self, node: NodeProto) -> None:
        """Run a layout op in the smaller type if that is what its data has."""
        data = node.input if node.op_type == "Concat" else node.input[:1]
        if self.results.issuperset(data):
            self.lower(node, len(data))
            return
        if data[0] in self._weights:
            self._weights |= dict.fromkeys(node.output, self._weights[data[0]])
        self.nodes.append(node)

    def _copy(self, name: str, consumer: NodeProto) -> str:
        """A tensor in the smaller type; an optional input that is left out (`""`) stays out."""
        if not name:
            return name
        if name not in self._copies:
            self._check_range(name)
            self._copies[name] = self._copy_name(name)
            self._cast(name, self._copies[name], _TYPES[self._precision], consumer)
        return self._copies[name]

    def _copy_name(self, name: str) -> str:
        return f"{name}/{self._precision}"

    def _cast(self, source: str, target: str, to: int, beside: NodeProto) -> None:
        name = f"{beside.name}/Cast_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node("Cast", [source], [target], name=name, to=to))

    def _check_range(self, name: str) -> None:
        if self._precision != "float16" or name not in self._weights:
            return
        weight = self._weights[name]
        largest = float(np.abs(numpy_helper.to_array(weight)).max(initial=0.0))
        if largest > _FLOAT16_MAX:
            raise ExportError(
                f"{self._label}: the weight {weight.name} holds ±{largest:.6g}, and float16 ends at {_FLOAT16_MAX:g}; "
                "export with bfloat16 or float32"
            )
