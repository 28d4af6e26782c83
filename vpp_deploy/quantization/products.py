"""Which products of a graph can compute in INT8: those with a constant weight that no decision is taken on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from vpp_deploy.engines.protocols import Array
from vpp_deploy.exporters.precision.casting import LAYOUT, MATRIX_PRODUCTS
from vpp_deploy.exporters.precision.decisions import decisive_products, is_standard

_DERIVES: Final = LAYOUT | {"Constant"}
"""Ops that a weight may come through."""
_BLOCK: Final = re.compile(r"(.*?\.\d+)(?:\.|$)")


@dataclass(frozen=True)
class Product:
    """A product of an activation with a constant weight.

    Attributes:
        node: in the graph.
        weight: values of its second input.
        axis: of the weight, the axis of the output channels.
        group: the block of the model that it belongs to, e.g. `backbone/blocks.3`.
    """

    node: NodeProto
    weight: Array
    axis: int
    group: str

    @property
    def name(self) -> str:
        """The tensor that it gives."""
        return str(self.node.output[0])

    @property
    def activation(self) -> str:
        """The tensor that is multiplied with the weight."""
        return str(self.node.input[0])

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, whose result is rounded, too: no runtime computes others in INT8."""
        return str(self.node.op_type) == "Conv"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose range is needed."""
        return (self.activation, self.name) if self.is_convolution else (self.activation,)


def find_products(model: onnx.ModelProto, weights: Mapping[str, Array], *, convolutions: bool) -> list[Product]:
    """The products of a bundle's graph that can compute in INT8.

    Args:
        model: as exported, with `vpp` nodes.
        weights: values of its initializers, by name.
        convolutions: take convolutions, too.
    """
    graph = model.graph
    decisive = decisive_products(graph)
    kinds = MATRIX_PRODUCTS | {"Conv"} if convolutions else MATRIX_PRODUCTS
    constants = dict(weights)
    found = []
    for node in graph.node:
        if is_standard(node, _DERIVES) and all(name in constants for name in node.input if name):
            constants |= _derived(node, constants)
        elif is_standard(node, kinds) and node.output[0] not in decisive and node.input[1] in constants:
            weight = constants[node.input[1]]
            if node.input[0] not in constants and weight.dtype == np.float32 and weight.ndim in (2, 4):
                found.append(Product(node, weight, _channel_axis(node, weight), group_of(node.name)))
    return found


def group_of(name: str) -> str:
    """The block of a node: its module, up to the first number in its path.

    Args:
        name: e.g. `backbone/blocks.3.attn.proj/MatMul_88`, for `backbone/blocks.3`.
    """
    module = name.rpartition("/")[0] or name
    match = _BLOCK.match(module)
    return match[1] if match else module


def _derived(node: NodeProto, constants: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    results = ReferenceEvaluator(node).run(None, {name: constants[name] for name in node.input if name})
    yield from zip(node.output, results, strict=True)


def _channel_axis(node: NodeProto, weight: Array) -> int:
    if node.op_type == "Conv":
        return 0
    is_transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if is_transposed else weight.ndim - 1


def initial_values(model: onnx.ModelProto) -> dict[str, Array]:
    """The initializers of a graph whose weights are inside, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
