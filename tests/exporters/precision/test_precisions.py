"""Precisions are records: complete, consistent, known by name alone, and one more is one more file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from tests.exporters.reduced import reduced
from tests.exporters.test_checks import model
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.errors import ExportError, UsageError
from vpp_deploy.exporters.graphs import write_graphs
from vpp_deploy.exporters.precision import (
    PRECISIONS,
    Precision,
    TaskTolerances,
    check_precision,
    exported_precisions,
    tolerances_of,
)
from vpp_deploy.tasks import TASKS


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_record_is_what_its_name_says(name: str) -> None:
    record = PRECISIONS[name]
    assert record.name == name
    if name in exported_precisions():
        assert check_precision(name) == name
    home = Path(sys.modules[Precision.__module__].__file__ or "").parent
    assert (home / f"{name}.py").is_file()


def test_every_precision_has_a_bar_for_every_task() -> None:
    assert {item.name for item in fields(TaskTolerances)} == set(TASKS)
    for name in PRECISIONS:
        bars = tolerances_of(name)
        for task in TASKS:
            values = vars_of(getattr(bars, task))
            assert values
            assert all(value >= 0 for value in values.values()), (name, task)


def vars_of(bar: Any) -> dict[str, float]:
    return {item.name: getattr(bar, item.name) for item in fields(bar)}


def test_a_smaller_type_has_no_stricter_bar() -> None:
    exact, half, brain = (tolerances_of(name) for name in ("float32", "float16", "bfloat16"))
    for task in TASKS:
        exact_bar, half_bar, brain_bar = (vars_of(getattr(bars, task)) for bars in (exact, half, brain))
        shares = {"overlap", "track_agreement", "mask_iou"}  # the greater, the stricter
        for name, value in exact_bar.items():
            sign = -1 if name in shares else 1
            assert sign * value <= sign * half_bar[name], (task, name)
            assert sign * value <= sign * brain_bar[name], (task, name)


@pytest.mark.parametrize(
    ("called", "message"),
    [
        ("precision", "unknown precision 'int4'; use one of float32, float16, bfloat16, int8, fp8"),
        ("--precision", "unknown --precision 'int4'; use one of float32, float16, bfloat16, int8, fp8"),
    ],
)
def test_what_is_no_precision_is_refused(called: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_precision("int4", called)
    assert str(caught.value) == message


def test_a_precision_that_is_not_known_here_has_no_bar() -> None:
    message = "no parity tolerances for precision 'int4'; there are some for float32, float16, bfloat16, int8, fp8"
    with pytest.raises(UsageError) as caught:
        tolerances_of("int4")
    assert str(caught.value) == message


def test_naming_precisions_loads_neither_onnx_nor_pytorch() -> None:
    code = """
import sys
from vpp_deploy.exporters.precision import PRECISIONS, check_precision, tolerances_of
check_precision("float32"), tolerances_of("float32"), list(PRECISIONS)
assert not {"onnx", "numpy", "torch"} & set(sys.modules)
tolerances_of("float16"), tolerances_of("bfloat16")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_float32_changes_nothing() -> None:
    text = "g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = MatMul (x, w) }"
    assert reduced(text, "float32") == model(text)


def with_weight(largest: float, more: str = "") -> onnx.ModelProto:
    """A linear layer as exported: its weight is transposed in the graph."""
    made = model(f"""g (float[2,3] x) => (float[2,4] y) {{
        turned = Transpose <perm = [1, 0]> (weight)
        y = MatMul (x, turned)
        {more}
    }}""")
    weight = np.zeros((4, 3), np.float32)
    weight[1, 2] = -largest
    made.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    return made


def test_a_weight_beyond_float16_is_named() -> None:
    checked(with_weight(65504), "float16")
    checked(with_weight(1e6), "bfloat16")
    with pytest.raises(ExportError, match=r"^g\.onnx: the weight weight holds ±1e\+06, and float16 ends at 65504"):
        checked(with_weight(1e6), "float16")


def test_a_weight_that_stays_float32_may_be_of_any_size() -> None:
    checked(with_weight(1e6, "z = ArgMax (y)"), "float16")


def checked(graph: onnx.ModelProto, name: str) -> None:
    PRECISIONS[name].reduce(graph, "g.onnx")
    PRECISIONS[name].check(graph, "g.onnx")


def to_eight_bits(graph: onnx.ModelProto, label: str) -> None:
    """Weights of matrix products in steps of 1/16: no activation is rounded, so no data is needed."""
    make, weights = onnx.helper.make_node, {tensor.name for tensor in graph.graph.initializer}
    zero = onnx.helper.make_tensor("zero", TensorProto.INT8, [], [0])
    nodes = [make("Constant", [], ["step"], value_float=1 / 16), make("Constant", [], ["zero"], value=zero)]
    for node in list(graph.graph.node):
        if node.op_type == "MatMul" and node.input[1] in weights:
            weight = node.input[1]
            nodes.append(make("QuantizeLinear", [weight, "step", "zero"], [f"{weight}/steps"]))
            nodes.append(make("DequantizeLinear", [f"{weight}/steps", "step", "zero"], [f"{weight}/int8"]))
            node.input[1] = f"{weight}/int8"
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def refuse_large(graph: onnx.ModelProto, label: str) -> None:
    for tensor in graph.graph.initializer:
        if np.abs(numpy_helper.to_array(tensor)).max() > 8:
            raise ExportError(f"{label}: {tensor.name} is beyond 8")


def eight_bits(**changes: Any) -> Precision:
    return replace(
        Precision(
            name="int8_weights",
            reduce=to_eight_bits,
            check=refuse_large,
            tolerances=PRECISIONS["bfloat16"].tolerances,
            added_ops=frozenset(["QuantizeLinear", "DequantizeLinear"]),
        ),
        **changes,
    )


@pytest.mark.usefixtures("room_for_more")
def test_a_precision_from_elsewhere_is_one_record(tmp_path: Path) -> None:
    """Nothing else changes: it is named, it writes graphs, its check is asked, and parity has its bar."""
    made_up = eight_bits()
    PRECISIONS.register(made_up.name, made_up)
    assert check_precision("int8_weights") == "int8_weights"
    assert tolerances_of("int8_weights") is made_up.tolerances
    with pytest.raises(UsageError, match="use one of float32, float16, bfloat16, int8, fp8, int8_weights"):
        check_precision("int4")
    weights = {"w": np.float32([[0.25, -1.03], [2.0, 7.5]])}
    graph = written(weights, "int8_weights", tmp_path)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds == ["Constant", "Constant", "QuantizeLinear", "DequantizeLinear", "MatMul"]
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (rounded,) = session.run(None, {"x": np.eye(2, dtype=np.float32)})
    np.testing.assert_array_equal(rounded, np.float32([[0.25, -1.0], [2.0, 7.5]]))
    with pytest.raises(ExportError, match=r"^model\.onnx: w is beyond 8"):
        written({"w": weights["w"] * 2}, "int8_weights", tmp_path)


@pytest.mark.usefixtures("room_for_more")
def test_an_op_that_a_precision_does_not_announce_is_refused(tmp_path: Path) -> None:
    PRECISIONS.register("int8_weights", eight_bits(added_ops=frozenset()))
    with pytest.raises(ExportError, match="uses the op QuantizeLinear, which is not in the set"):
        written({"w": np.eye(2, dtype=np.float32)}, "int8_weights", tmp_path)


def test_those_that_an_export_can_be_asked_for_need_no_data() -> None:
    assert exported_precisions() == [name for name, record in PRECISIONS.items() if not record.needs_data]


def test_a_precision_that_needs_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    message = "precision 'int8' takes data, which an export does not: export in float32, then use `vpp-deploy quantize`"
    with pytest.raises(UsageError, match=message):
        written({"w": np.eye(2, dtype=np.float32)}, "int8", tmp_path)
    with pytest.raises(UsageError, match=f"--{message}"):
        check_precision("int8", "--precision")
    assert list(tmp_path.iterdir()) == []


def written(weights: dict[str, np.ndarray], precision: str, folder: Path) -> onnx.ModelProto:
    """The graph of a linear layer, as an export writes it."""
    graph = model("g (float[2,2] x) => (float[2,2] y) { y = MatMul (x, w) }")
    graph.graph.initializer.append(numpy_helper.from_array(weights["w"], "w"))
    graphs: Any = {"model": (graph, None)}
    with BundleWriter(folder / "made.bundle") as writer:
        write_graphs(writer, graphs, weights, precision)
        return onnx.load(writer.folder / "model.onnx")
