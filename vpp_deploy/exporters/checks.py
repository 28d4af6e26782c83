"""Static checks of a traced graph: what would fail, or be slow or wrong, in a backend is refused at export."""

from __future__ import annotations

from collections.abc import Set

import onnx

from vpp_deploy import ops
from vpp_deploy.errors import ExportError
from vpp_deploy.ops.standard import STANDARD_OPS


def check_graph(model: onnx.ModelProto, label: str, added_ops: Set[str] = frozenset()) -> None:
    """Refuse a graph that some backend could not run as exported.

    Args:
        model: a traced graph with `vpp::` nodes and their portable functions.
        label: the graph's name in messages.
        added_ops: standard ops that are allowed too, see `Precision.added_ops`.

    Raises:
        ExportError: dynamic shapes or int64 in the graph's inputs and outputs; an op outside the declared set.
    """
    for tensor in (*model.graph.input, *model.graph.output):
        _check_tensor(tensor, label)
    if (node := ops.undeclared(model, STANDARD_OPS | added_ops)) is not None:
        raise ExportError(
            f"{label}: node {node.name} uses the op {ops.op_name(node)}, which is not in the set that all backends "
            "run; write the model without it, or add a vpp op with lowerings"
        )


def _check_tensor(tensor: onnx.ValueInfoProto, label: str) -> None:
    kind = tensor.type.tensor_type
    if kind.elem_type == onnx.TensorProto.INT64:
        raise ExportError(f"{label}: {tensor.name} is int64, which engines treat differently; cast it to int32")
    if any(not dimension.HasField("dim_value") for dimension in kind.shape.dim):
        raise ExportError(f"{label}: {tensor.name} has a dynamic shape; bundles are static, fix every size")
