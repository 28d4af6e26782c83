"""Products in a smaller type, everything else in float32: what the precisions that cast share.

TensorRT networks are strongly typed: a layer computes in the type of its inputs. So precision is decided here, in the
graph, by Casts around the products. Inputs, outputs, state and `vpp` ops keep float32, and so do the products that a
decision is taken on directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import NodeProto, TensorProto

from vpp_deploy.exporters.precision.decisions import PRODUCTS, decisive_products, is_standard

MATRIX_PRODUCTS: Final = frozenset(["MatMul", "Gemm"])
LAYOUT: Final = frozenset(
    ["Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Concat", "Gather", "Identity"]
)
"""Standard ops that move values and compute none: they run in whatever type their data has."""


@dataclass(frozen=True, kw_only=True)
class Casting:
    """Which products compute in which smaller float.

    Attributes:
        name: of the smaller type, for the names of tensors in it.
        to: the smaller type, a `TensorProto.DataType`.
        products: which of `PRODUCTS` compute in it.
    """

    name: str
    to: int
    products: Set[str]

    def products_of(self, graph: onnx.GraphProto) -> list[NodeProto]:
        """The products of a graph that can compute in it: those whose result reaches no decision directly."""
        decisive = decisive_products(graph)
        return [node for node in graph.node if is_standard(node, self.products) and node.output[0] not in decisive]

    def apply(self, model: onnx.ModelProto, *, without: Set[str] = frozenset()) -> int:
        """Make products of a graph compute in the smaller type, in place.

        A product's inputs are cast, each tensor once, and its result is cast back to float32. The bias of a linear
        layer, which is exported as MatMul and Add, belongs to the product. Between two products with nothing but
        `LAYOUT` ops between them, values stay in the smaller type. Products whose result reaches a decision (see
        `decisive_products`) stay float32. Initializers keep float32 and their names; engines fold their casts.

        Args:
            model: a graph whose products have float32 inputs.
            without: first outputs of products that stay float32.

        Returns:
            How many products compute in it.
        """
        graph = model.graph
        chosen = {node.output[0] for node in self.products_of(graph)} - without
        writer = _Writer(graph.initializer, self.name, self.to)
        for node in graph.node:
            if is_standard(node, self.products) and node.output[0] in chosen:
                writer.lower(node, data_inputs=len(node.input))
            elif node.op_type == "Add" and writer.adds_bias(node):
                writer.lower(node, data_inputs=2)
            elif is_standard(node, LAYOUT):
                writer.move(node)
            else:
                writer.nodes.append(node)
        used = {name for node in writer.nodes for name in node.input} | {tensor.name for tensor in graph.output}
        unused = writer.results - used
        nodes = [node for node in writer.nodes if node.output[0] not in unused]
        values = [value for value in graph.value_info if value.name not in unused]
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.value_info.extend(values)
        return len(chosen)


def weights_cast_to(to: int, graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The weights of a graph that a Cast takes to a type, as they are or after layout ops, each once.

    Args:
        to: a `TensorProto.DataType`.
        graph: with its weights inside.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    cast: set[str] = set()
    for node in graph.node:
        if is_standard(node, LAYOUT) and node.input[0] in weights:
            weights |= dict.fromkeys(node.output, weights[node.input[0]])
        elif node.op_type == "Cast" and node.input[0] in weights and node.attribute[0].i == to:
            weight = weights[node.input[0]]
            if weight.name not in cast:
                cast.add(weight.name)
                yield weight


class _Writer:
    """One pass over a graph.

    Args:
        initializers: of the graph.
        name: of the smaller type.
        to: the smaller type.

    Attributes:
        nodes: the new graph so far.
        results: float32 tensors that are cast from results of the smaller type, so that nothing is lost by using those.
    """

    def __init__(self, initializers: Iterable[TensorProto], name: str, to: int) -> None:
        self.nodes: list[NodeProto] = []
        self.results: set[str] = set()
        self._matrix_products: set[str] = set()
        self._copies: dict[str, str] = {}  # a float32 tensor's copy in the smaller type
        self._ranks = {tensor.name: len(tensor.dims) for tensor in initializers}  # of weights, and what is made of them
        self._name, self._to = name, to

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
        return product in self._matrix_products and self._ranks.get(bias) == 1

    def move(self, node: NodeProto) -> None:
        """Run a layout op in the smaller type if that is what its data has."""
        data = node.input if node.op_type == "Concat" else node.input[:1]
        if self.results.issuperset(data):
            self.lower(node, len(data))
            return
        if data[0] in self._ranks:
            self._ranks |= dict.fromkeys(node.output, self._ranks[data[0]])
        self.nodes.append(node)

    def _copy(self, name: str, consumer: NodeProto) -> str:
        """A tensor in the smaller type; an optional input that is left out (`""`) stays out."""
        if name and name not in self._copies:
            self._copies[name] = self._copy_name(name)
            self._cast(name, self._copies[name], self._to, consumer)
        return self._copies[name] if name else name

    def _copy_name(self, name: str) -> str:
        return f"{name}/{self._name}"

    def _cast(self, source: str, target: str, to: int, beside: NodeProto) -> None:
        name = f"{beside.name}/Cast_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node("Cast", [source], [target], name=name, to=to))


__all__ = ["LAYOUT", "MATRIX_PRODUCTS", "PRODUCTS", "Casting", "weights_cast_to"]
