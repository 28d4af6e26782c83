"""Static checks name the offending tensor or node and say what to do; weight unfolding is exact."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from vpp_deploy import ops
from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.checks import check_graph
from vpp_deploy.exporters.unfold_weights import unfold_weights


def model(text: str) -> onnx.ModelProto:
    parsed = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {ops.OPSET}, "vpp" : 1]>\n{text}')
    ops.attach_portable_functions(parsed)
    return parsed


def test_a_plain_graph_passes() -> None:
    check_graph(model("g (float[2,3] x) => (float[2,3] y) { y = Relu (x) }"), "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (int64[2] x) => (int64[2] y) { y = Identity (x) }", "x is int64"),
        ("g (float[2] x) => (int64[1] y) { y = Shape (x) }", "y is int64"),
        ("g (float[N] x) => (float[N] y) { y = Relu (x) }", "x has a dynamic shape"),
        ("g (float[2] x) => (float[2] y) { y = Softplus (x) }", "the op Softplus, which is not in the set"),
    ],
)
def test_what_some_backend_cannot_run_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        check_graph(model(text), "g.onnx")
    assert str(caught.value).startswith("g.onnx: ")
    assert "\n" not in str(caught.value)


def test_unfolded_weights_compute_the_same() -> None:
    rng = np.random.default_rng(0)
    state_dict = {
        "a.weight": rng.standard_normal((16, 24)).astype(np.float32),
        "b.in_proj_weight": rng.standard_normal((48, 16)).astype(np.float32),
    }
    folded = {
        "w1": state_dict["a.weight"].T,
        "w2": state_dict["b.in_proj_weight"][16:32].T,
        "w3": state_dict["b.in_proj_weight"][32:],
        "other": rng.standard_normal((16, 16)).astype(np.float32),
    }
    traced = model("""g (float[2,24] x) => (float[2,16] y) {
        h1 = MatMul (x, w1)
        h2 = MatMul (h1, w2)
        h3 = MatMul (h2, w3)
        y = MatMul (h3, other)
    }""")
    for name, array in folded.items():
        traced.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
    x = rng.standard_normal((2, 24)).astype(np.float32)
    before = run(traced, x)
    unfold_weights(traced, state_dict, min_bytes=64)
    assert {tensor.name for tensor in traced.graph.initializer} == {*state_dict, "other"}
    assert np.array_equal(run(traced, x), before)


def run(traced: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(traced)
    session = onnxruntime.InferenceSession(traced.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]
