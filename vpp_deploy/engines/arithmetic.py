"""Tokens and arithmetic of a graph's transformer blocks, counted from the graph itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import onnx

from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.lowered import lowered_model

_BLOCK: Final = re.compile(r".*?\bblocks\.\d+")
_REACH: Final = 4
"""Nodes between weights and the product that takes them: transposed, cast, dequantised."""


@dataclass(frozen=True)
class Arithmetic:
    """Multiply-accumulates of the products and convolutions of a graph, for one call.

    Attributes:
        blocks: of each transformer block, in order; empty of a model that has none.
        tokens: that each block works on.
        other: of everything else.
    """

    blocks: tuple[int, ...]
    tokens: tuple[int, ...]
    other: int

    @property
    def dense(self) -> int | None:
        """Of all blocks if each took what the first one takes; None unless that has all tokens and later ones fewer."""
        if not self.blocks or not min(self.tokens) < self.tokens[0] == max(self.tokens):
            return None
        return len(self.blocks) * self.blocks[0]


def count_arithmetic(bundle: Bundle) -> Arithmetic:
    """Count the graph that runs most often: the step of a model with state.

    Raises:
        BundleError: the graph cannot be read.
    """
    role = bundle.manifest.roles[-1]
    model = onnx.shape_inference.infer_shapes(lowered_model(bundle, role, "onnxruntime"), data_prop=True)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes: dict[str, Sequence[int]] = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim] for value in values
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    blocks: Counter[str] = Counter()
    rows: dict[str, Counter[int]] = {}
    other, block = 0, ""
    for node in model.graph.node:
        if not (count := _multiply_accumulates(node, shapes)):
            continue
        block = _block_of(node, producers) or block
        if not block or "blocks." not in node.name:
            other += count
            continue
        blocks[block] += count
        if node.op_type != "Conv":
            rows.setdefault(block, Counter())[shapes[node.output[0]][-2]] += 1
    names = [name for name in blocks if name in rows]  # in the order of the graph, which is that of the model
    tokens = tuple(rows[name].most_common(1)[0][0] for name in names)
    return Arithmetic(tuple(blocks[name] for name in names), tokens, other)


def _block_of(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> str | None:
    """The block whose weights a product takes, by their name, which is the model's own; None where it takes none.

    Products of attention take none: they are of the block whose weights were used last. Names of nodes do not tell,
    where a model runs through a slice of its blocks.
    """
    for name in node.input[1:] if node.op_type != "MatMul" else node.input:
        for _ in range(_REACH):
            if found := _BLOCK.match(name):
                return found[0]
            if name not in producers or not producers[name].input:
                break
            name = producers[name].input[0]
            if producers.get(name) is not None and producers[name].op_type in ("MatMul", "Gemm", "Conv"):
                break
    return None


def _multiply_accumulates(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """Of a product or a convolution whose shapes are known; 0 of everything else."""
    if node.op_type not in ("MatMul", "Gemm", "Conv", "ConvTranspose"):
        return 0
    if not all(shapes.get(name) for name in (*node.input[:2], node.output[0])):
        return 0
    first, second, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type in ("Conv", "ConvTranspose"):
        return prod(out if node.op_type == "Conv" else first) * prod(second[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(out) * (first[0] if transposed else first[-1])
