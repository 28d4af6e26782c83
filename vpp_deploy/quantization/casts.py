"""Products in a smaller float, by groups of layers: which there are, and a graph that can switch each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import NodeProto, TensorProto

from vpp_deploy.exporters.precision.casting import Casting
from vpp_deploy.quantization.products import group_of
from vpp_deploy.quantization.qdq import add_switches, switch


def groups_of_products(graph: onnx.GraphProto, casting: Casting) -> dict[str, str]:
    """The products of an exported graph that can be cast: their first outputs, and their groups (see `group_of`)."""
    return {node.output[0]: group_of(node.name) for node in casting.products_of(graph)}


def cast_by_choice(model: onnx.ModelProto, to: int, products: Mapping[str, str]) -> None:
    """Round what goes into products and what comes out of them, group by group, each with a bool input.

    Values are those of the smaller type with products that add up in float32, as GPUs do; the arithmetic is float32.

    Args:
        model: a graph, lowered or not; changed in place.
        to: the smaller type, a `TensorProto.DataType`.
        products: see `groups_of_products`; of `switch(group)`, each is an input.
    """
    add_switches(model, dict.fromkeys(products.values()))
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        group = products.get(node.output[0])
        if group is None:
            nodes.append(node)
            continue
        rounded = NodeProto()
        rounded.CopyFrom(node)
        result = node.output[0]
        for index, name in enumerate(node.input):
            if name:
                rounded.input[index] = f"{result}/input_{index}"
                nodes += _rounding(name, rounded.input[index], group, to)
        rounded.output[0] = f"{result}/unrounded"
        nodes += [rounded, *_rounding(rounded.output[0], result, group, to)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rounding(tensor: str, rounded: str, group: str, to: int) -> Iterator[NodeProto]:
    small, back = f"{rounded}/small", f"{rounded}/back"
    make = onnx.helper.make_node
    yield make("Cast", [tensor], [small], name=small, to=to)
    yield make("Cast", [small], [back], name=back, to=TensorProto.FLOAT)
    yield make("Where", [switch(group), back, tensor], [rounded], name=rounded)
