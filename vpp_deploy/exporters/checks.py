"""Static checks of a traced graph: what would fail, or be slow or wrong, in a backend is refused at export."""

from __future__ import annotations

from collections.abc import Set

import onnx

from vpp_deploy import ops
from vpp_deploy.errors import ExportError

STANDARD_OPS = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "Cos",
        "CumSum",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherND",
        "Gelu",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "GridSample",
        "Identity",
        "InstanceNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pad",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "ScatterND",
        "Shape",
        "Sigmoid",
        "Sin",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
"""Standard ONNX ops that every supported backend runs."""


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
    allowed = STANDARD_OPS | added_ops
    for node in model.graph.node:
        if node.domain == ops.DOMAIN and node.op_type in ops.OPS:
            continue
        if node.domain not in ("", "ai.onnx") or node.op_type not in allowed:
            name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            raise ExportError(
                f"{label}: node {node.name} uses the op {name}, which is not in the set that all backends run; "
                "write the model without it, or add a vpp op with lowerings"
            )


def _check_tensor(tensor: onnx.ValueInfoProto, label: str) -> None:
    kind = tensor.type.tensor_type
    if kind.elem_type == onnx.TensorProto.INT64:
        raise ExportError(f"{label}: {tensor.name} is int64, which engines treat differently; cast it to int32")
    if any(not dimension.HasField("dim_value") for dimension in kind.shape.dim):
        raise ExportError(f"{label}: {tensor.name} has a dynamic shape; bundles are static, fix every size")
