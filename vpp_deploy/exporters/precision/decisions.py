"""Which products a decision is taken on: in a smaller type, equal scores would be ties by the dozen."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import onnx
from onnx import NodeProto

from vpp_deploy import ops

PRODUCTS: Final = frozenset(["MatMul", "Gemm", "Conv", "ConvTranspose"])
"""Standard ops that multiply values with each other and add up."""
DECISIONS: Final = frozenset(["TopK", "ArgMax", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"])
SCORES: Final = frozenset(["class_logits", "logits"])
"""Graph outputs from which the host takes a label."""


def decisive_products(graph: onnx.GraphProto) -> set[str]:
    """First outputs of the products that a decision is taken on: what reaches it without another product in between.

    Decisions are `DECISIONS`, the `vpp` ops that decide (`OpDefinition.decides`), and the labels that the host takes
    from `SCORES`. The walk passes `vpp` ops that move values and ends at the others, which hold a product themselves
    and compute it in float32.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pending = [tensor.name for tensor in graph.output if tensor.name in SCORES]
    for node in graph.node:
        if _decides(node):
            pending += node.input
    seen: set[str] = set()
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in producers:
            continue
        seen.add(name)
        node = producers[name]
        if is_standard(node, PRODUCTS):
            found.add(node.output[0])
        elif _passes(node):
            pending += node.input
    return found


def is_standard(node: NodeProto, kinds: Set[str]) -> bool:
    """Whether a node is one of some standard ONNX ops."""
    return node.domain in ("", "ai.onnx") and node.op_type in kinds


def _decides(node: NodeProto) -> bool:
    op = _vpp_op(node)
    return op.decides if op else is_standard(node, DECISIONS)


def _passes(node: NodeProto) -> bool:
    op = _vpp_op(node)
    return op is None or op.moves_values


def _vpp_op(node: NodeProto) -> ops.OpDefinition | None:
    return ops.OPS.get(node.op_type) if node.domain == ops.DOMAIN else None
