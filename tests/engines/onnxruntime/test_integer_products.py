"""Biases inside INT8 products: the same values from fewer nodes, and only where there is a bias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.exporters.test_checks import model
from vpp_deploy.engines.onnxruntime.integer_products import add_biases, make_activations_unsigned
from vpp_deploy.engines.onnxruntime.sessions import session_options
from vpp_deploy.quantization.products import find_products, initial_values
from vpp_deploy.quantization.qdq import INT8, quantise

GENERATOR = np.random.default_rng(0)
X = GENERATOR.uniform(-1, 1, (2, 5, 8)).astype(np.float32)


def optimised(body: str, bias: np.ndarray, folder: Path) -> onnx.ModelProto:
    """A product in INT8, as ONNX Runtime leaves it before biases are looked at."""
    graph = model(f"g (float[2,5,8] x) => (float[2,5,6] y) {{ h = MatMul (x, w)  {body} }}")
    for name, value in (("w", GENERATOR.standard_normal((8, 6)).astype(np.float32)), ("b", bias)):
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    quantise(graph, find_products(graph, initial_values(graph), convolutions=False), {"x": 1.0}, INT8)
    path = folder / "graph.onnx"
    onnx.save(graph, path)
    make_activations_unsigned(path)
    options = session_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=["MatMulAddFusion"]
    )
    return onnx.load(folder / "optimised.onnx")


def run(graph: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], {"x": X})[0]


@pytest.mark.parametrize(
    ("body", "bias", "is_joined"),
    [
        ("y = Add (h, b)", GENERATOR.standard_normal(6).astype(np.float32), True),
        ("y = Add (b, h)", GENERATOR.standard_normal(6).astype(np.float32), True),
        ("y = Add (h, b)", np.ones(1, np.float32), False),  # the same for all channels
        ("y = Add (h, b)", np.ones((5, 6), np.float32), False),  # positions, not a bias
        ("r = Relu (h) s = Add (h, b) y = Add (r, s)", np.ones(6, np.float32), False),  # the product is wanted, too
    ],
)
def test_a_bias_is_added_inside(body: str, bias: np.ndarray, is_joined: bool, tmp_path: Path) -> None:
    graph = optimised(body, bias, tmp_path)
    before, expected = [node.op_type for node in graph.graph.node], run(graph)
    assert "MatMulIntegerToFloat" in before
    add_biases(graph)
    after = [node.op_type for node in graph.graph.node]
    assert before.count("Add") - after.count("Add") == int(is_joined)
    np.testing.assert_allclose(run(graph), expected, rtol=1e-5, atol=1e-6)
