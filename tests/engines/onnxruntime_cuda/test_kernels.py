"""Every node that ONNX Runtime gets for a GPU has a kernel there, and every input of a graph meets one.

What has none is run on the processor, with copies there and back in every frame, and cannot be captured in CUDA graphs.
The table is what docs/OperatorKernels.md of ONNX Runtime (commit 001d12d2) lists under CUDAExecutionProvider for opset
20; the page says nothing of DeformConv, whose kernel is younger: ONNX Runtime 1.31 ran it on an H200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx
import pytest

from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.lowered import lowered_model
from vpp_deploy.ops.base import OPSET

FLOATS: Final = frozenset({"DOUBLE", "FLOAT", "FLOAT16"})
COUNTS: Final = frozenset({"INT32", "INT64"})
BOOL: Final = frozenset({"BOOL"})
MOVED: Final = FLOATS | COUNTS | BOOL | {"BFLOAT16", "INT8", "INT16", "UINT8", "UINT16", "UINT32", "UINT64"}
ARITHMETIC: Final = MOVED - BOOL
COMPARED: Final = FLOATS | COUNTS | {"UINT32", "UINT64"}

KERNELS: Final = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sign"), ARITHMETIC),
    **dict.fromkeys(("Greater", "Less", "GreaterOrEqual", "LessOrEqual"), COMPARED),
    **dict.fromkeys(("Equal",), COMPARED | BOOL),
    **dict.fromkeys(("Max", "Min", "Mod"), COMPARED | {"BFLOAT16"}),
    **dict.fromkeys(("And", "Or", "Xor", "Not"), BOOL),
    **dict.fromkeys(("Cast", "Identity", "Shape", "Reshape"), MOVED),
    **dict.fromkeys(
        (
            *("Concat", "Expand", "Flatten", "Gather", "GatherElements", "ScatterElements", "ScatterND", "Slice"),
            *("Split", "Squeeze", "Transpose", "Trilu", "Unsqueeze", "ConstantOfShape"),
        ),
        MOVED,
    ),
    **dict.fromkeys(
        ("Gelu", "Gemm", "MatMul", "Softmax", "Sigmoid", "Tanh", "Relu", "Exp", "Erf", "Sqrt", "Sum"),
        FLOATS | {"BFLOAT16"},
    ),
    **dict.fromkeys(
        (
            *("ArgMax", "AveragePool", "BatchNormalization", "Ceil", "Conv", "ConvTranspose", "Cos", "Einsum", "Floor"),
            *("GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Reciprocal"),
            *("Round", "Sin"),
        ),
        FLOATS,
    ),
    "DeformConv": frozenset({"FLOAT"}),
    "GridSample": frozenset({"FLOAT"}),
    "GatherND": FLOATS | {"BFLOAT16", "INT64"},
    "Clip": FLOATS | {"INT8", "INT64", "UINT8", "UINT64"},
    "CumSum": COMPARED,
    "MaxPool": FLOATS | {"INT8", "UINT8"},
    "Neg": FLOATS | COUNTS | {"BFLOAT16", "INT8", "INT16"},
    "Pad": FLOATS | BOOL,
    "Pow": FLOATS | COUNTS | {"BFLOAT16"},
    "Range": COUNTS | {"DOUBLE", "FLOAT", "INT16"},
    "ReduceL2": FLOATS | {"INT32"},
    "ReduceMax": FLOATS | COUNTS,
    "ReduceMean": FLOATS | {"INT32"},
    "ReduceMin": FLOATS | COUNTS | {"INT8", "UINT8"},
    "ReduceSum": FLOATS | COUNTS | {"BFLOAT16"},
    "Resize": FLOATS | {"INT32", "UINT8"},
    "Tile": FLOATS | COUNTS | {"BFLOAT16"},
    "TopK": FLOATS | COUNTS,
    "Where": FLOATS | COUNTS | {"BFLOAT16", "UINT8"},
}
"""Op to the types of its data: input 0, or 1 where input 0 is a condition."""
DATA_INPUT: Final = {"Where": 1}
READ_ON_THE_PROCESSOR: Final = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
}
"""Inputs that say what a kernel does, so that the host wants to know them first."""


def element_types(model: onnx.ModelProto) -> dict[str, str]:
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {name: onnx.TensorProto.DataType.Name(number) for name, number in types.items()}


def without_kernel(model: onnx.ModelProto) -> Iterator[str]:
    types = element_types(model)
    for node in model.graph.node:
        if node.op_type == "Constant":  # becomes an initializer
            continue
        data = types[node.input[DATA_INPUT.get(node.op_type, 0)]]
        known = KERNELS.get(node.op_type, frozenset())
        if node.domain or data not in known:
            yield f"{node.op_type} of {data} ({node.name})"


def graphs(bundle: Bundle) -> Iterator[onnx.ModelProto]:
    for role in bundle.manifest.roles:
        yield lowered_model(bundle, role, "onnxruntime")


@pytest.mark.parametrize("fixture", ["micro_bundle", "papr_bundle"])
def test_every_node_has_a_kernel(fixture: str, request: pytest.FixtureRequest) -> None:
    for model in graphs(request.getfixturevalue(fixture)):
        assert {entry.version for entry in model.opset_import if entry.domain == ""} == {OPSET} == {20}
        assert not list(without_kernel(model))


@pytest.mark.parametrize("fixture", ["micro_bundle", "papr_bundle"])
def test_every_input_is_read_on_the_gpu(fixture: str, request: pytest.FixtureRequest) -> None:
    for model in graphs(request.getfixturevalue(fixture)):
        for value in model.graph.input:
            readers = [
                (node.op_type, place)
                for node in model.graph.node
                for place, name in enumerate(node.input)
                if name == value.name
            ]
            assert readers
            assert not [r for r in readers if r[1] in READ_ON_THE_PROCESSOR.get(r[0], ())], value.name


def test_a_node_without_a_kernel_is_found() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    g (int32[4] x, bool[4] c, float[4] y) => (int32[4] z, float[4] w) { z = Sum (x, x) w = Where (c, y, y) }"""
    assert [problem.split(" (")[0] for problem in without_kernel(onnx.parser.parse_model(text))] == ["Sum of INT32"]
