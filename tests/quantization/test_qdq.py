"""The INT8 form of a graph: right products, right values, and sums that no processor saturates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ml_dtypes import float8_e4m3fn
from onnx import numpy_helper

from tests.exporters.test_checks import model
from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.errors import BuildError
from vpp_deploy.quantization.products import find_products, group_of, initial_values
from vpp_deploy.quantization.qdq import FP8, INT8, int8_ranges, largest_weights, quantise, quantise_by_choice, switch

GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.standard_normal((6, 4)).astype(np.float32)
X = GENERATOR.uniform(-1, 1, (2, 4)).astype(np.float32)


def two_layers(last: str = "y = MatMul (h, v)", out: str = "float[2,3] y") -> onnx.ModelProto:
    """A linear layer whose weight is transposed, and what comes after it."""
    graph = model(f"g (float[2,4] x) => ({out}) {{ t = Transpose <perm = [1, 0]> (w)  h = MatMul (x, t)  {last} }}")
    for name, value in (("w", WEIGHT), ("v", np.ones((6, 3), np.float32))):
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    for node, name in zip(graph.graph.node, ("a/blocks.0.t/T_0", "a/blocks.0.fc/MatMul_1", "a/head/N_2"), strict=True):
        node.name = name
    return graph


def run(graph: onnx.ModelProto, **feed: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def test_a_weight_is_found_behind_what_the_exporter_folded() -> None:
    graph = two_layers()
    first, second = find_products(graph, initial_values(graph), convolutions=False)
    np.testing.assert_array_equal(first.weight, WEIGHT.T)
    assert (first.axis, first.activation, first.group) == (1, "x", "a/blocks.0")
    assert (second.activation, second.group) == ("h", "a/head")


def test_a_product_that_a_decision_is_taken_on_is_left_alone() -> None:
    graph = two_layers("y = ArgMax <axis = 1, keepdims = 0> (h)", "int64[2] y")
    assert find_products(graph, initial_values(graph), convolutions=True) == []


def test_values_are_those_of_int8() -> None:
    graph = two_layers()
    products = find_products(graph, initial_values(graph), convolutions=False)[:1]
    quantise(graph, products, {"x": 1.0}, INT8)
    scale = int8_ranges(WEIGHT, 0)[:, None] / 127
    expected = (np.round(X * 127) / 127) @ (np.round(WEIGHT / scale) * scale).T @ np.ones((6, 3))
    np.testing.assert_allclose(run(graph, x=X), expected, atol=1e-4)
    assert {tensor.name for tensor in graph.graph.initializer} >= {"w", "v"}  # as they were


def test_values_are_those_of_fp8() -> None:
    """As `ml_dtypes` holds E4M3: three binary digits, and nothing beyond the range."""
    graph = two_layers()
    products = find_products(graph, initial_values(graph), convolutions=False)[:1]
    quantise(graph, products, {"x": 0.5}, FP8)  # so that half of the activations are clipped
    scale = largest_weights(WEIGHT, 0)[:, None] / 448
    weight = (WEIGHT / scale).astype(float8_e4m3fn).astype(np.float32) * scale
    x = np.clip(X / (0.5 / 448), -448, 448).astype(float8_e4m3fn).astype(np.float32) * (0.5 / 448)
    np.testing.assert_allclose(run(graph, x=X), x @ weight.T @ np.ones((6, 3)), rtol=1e-5)
    types = {tensor.data_type for tensor in graph.graph.initializer if tensor.name.endswith("zero_point")}
    assert types == {onnx.TensorProto.FLOAT8E4M3FN}


def test_a_relu_before_fp8_is_not_dropped(tmp_path: Path) -> None:
    """As ONNX Runtime 1.32 does by itself."""
    graph = model("g (float[2,4] x) => (float[2,3] y) { r = Relu (x)  y = MatMul (r, v) }")
    graph.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3), np.float32), "v"))
    quantise(graph, find_products(graph, initial_values(graph), convolutions=False), {"r": 1.0}, FP8)
    onnx.save(graph, tmp_path / "relu.onnx")
    session = Session(tmp_path / "relu.onnx", session_options(1), error=BuildError, label="a graph")
    expected = np.maximum(X, 0.0).sum(1, keepdims=True).repeat(3, 1)
    np.testing.assert_allclose(session.run(["y"], {"x": X})[0], expected, rtol=0.05)


def test_a_choice_rounds_what_is_switched_on() -> None:
    exact, rounded, chosen = two_layers(), two_layers(), two_layers()
    products = find_products(exact, initial_values(exact), convolutions=False)
    ranges = {"x": 1.0, "h": 4.0}
    quantise(rounded, products[:1], ranges, INT8)
    groups = [product.group for product in products]
    quantise_by_choice(chosen, products, ranges, INT8, groups)
    off = {switch(group): np.array(False) for group in groups}
    np.testing.assert_array_equal(run(chosen, x=X, **off), run(exact, x=X))
    only_first = off | {switch(groups[0]): np.array(True)}
    np.testing.assert_allclose(run(chosen, x=X, **only_first), run(rounded, x=X), atol=1e-5)


def test_a_convolution_rounds_its_result() -> None:
    graph = model("g (float[1,2,4,4] x) => (float[1,3,4,4] z) { y = Conv <pads = [1,1,1,1]> (x, k)  z = Relu (y) }")
    kernel = GENERATOR.standard_normal((3, 2, 3, 3)).astype(np.float32)
    graph.graph.initializer.append(numpy_helper.from_array(kernel, "k"))
    assert find_products(graph, initial_values(graph), convolutions=False) == []
    (product,) = find_products(graph, initial_values(graph), convolutions=True)
    assert (product.tensors, product.axis) == (("x", "y"), 0)
    image = GENERATOR.uniform(-1, 1, (1, 2, 4, 4)).astype(np.float32)
    exact = run(graph, x=image)
    limit = float(exact.max())
    quantise(graph, [product], {"x": 1.0, "y": limit}, INT8)
    rounded = run(graph, x=image)
    levels = rounded / (limit / 127)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
    np.testing.assert_allclose(rounded, exact, atol=0.1)


@pytest.mark.parametrize("inputs", [64, 65])
def test_no_sum_of_two_products_leaves_16_bits(inputs: int) -> None:
    """As `vpmaddubsw` adds them: an activation of 255 with two neighbours of a channel."""
    weight = np.random.default_rng(1).standard_normal((32, inputs)).astype(np.float32)
    weight[0, :2] = 3.0
    weight[1, 2:4] = -3.0
    steps = np.round(weight / (int8_ranges(weight, 0)[:, None] / 127))
    pairs = np.pad(steps, ((0, 0), (0, inputs % 2))).reshape(32, -1, 2)
    sums = 255 * np.stack([np.maximum(pairs, 0).sum(2), np.minimum(pairs, 0).sum(2)])
    assert sums.max() <= 2**15 - 1
    assert sums.min() >= -(2**15)
    np.testing.assert_array_equal(int8_ranges(weight.T, 1), int8_ranges(weight, 0))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("backbone/blocks.3.attn.proj/MatMul_88", "backbone/blocks.3"),
        ("base/model.blocks.11.mlp.fc1/MatMul_1", "base/model.blocks.11"),
        ("frame/MatMul_5", "frame"),
        ("MatMul_5", "MatMul_5"),
    ],
)
def test_layers_are_grouped_by_block(name: str, group: str) -> None:
    assert group_of(name) == group
