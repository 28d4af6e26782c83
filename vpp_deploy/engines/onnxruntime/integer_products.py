"""INT8 products as ONNX Runtime computes them best: from unsigned activations, and with their biases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

_PRODUCT = "MatMulIntegerToFloat"
_BIAS = 6
"""Its input that takes one; it takes as many before, some of which may be left out."""


def make_activations_unsigned(path: Path) -> None:
    """Write the INT8 activations of a graph as UINT8: the same values, shifted by 128.

    ONNX Runtime does so itself, but not for an activation that several products share; those would stay float32.

    Args:
        path: file of a graph in standard ONNX; replaced. Activations have one scale, weights one per channel.
    """
    model = onnx.load(path, load_external_data=False)
    quantised = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for tensor in model.graph.initializer:
        if tensor.name in quantised and tensor.data_type == TensorProto.INT8 and not tensor.dims:
            tensor.CopyFrom(numpy_helper.from_array(np.array(128, np.uint8), tensor.name))
    onnx.save(model, path)


def add_biases(model: onnx.ModelProto) -> None:
    """Let INT8 products add their bias while they write their results: a pass over the results less, each.

    ONNX Runtime does that for dynamic quantisation alone.

    Args:
        model: a graph as ONNX Runtime optimised it; changed in place.
    """
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    products = {
        node.output[0]: node
        for node in graph.node
        if _takes_bias(node) and node.input[1] in shapes and uses[node.output[0]] == 1
    }
    kept = []
    for node in graph.node:
        kept.append(node)
        if node.op_type != "Add" or node.domain:
            continue
        result, bias = node.input if node.input[0] in products else reversed(node.input)
        if result in products and shapes.get(bias) == shapes[products[result].input[1]][-1:]:
            product = products.pop(result)
            product.input.extend([""] * (_BIAS - len(product.input)) + [bias])
            product.output[0] = node.output[0]
            kept.pop()
    del graph.node[:]
    graph.node.extend(kept)


def _takes_bias(node: NodeProto) -> bool:
    return bool(node.op_type == _PRODUCT and node.domain == "com.microsoft" and len(node.input) <= _BIAS)
