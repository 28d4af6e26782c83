"""Where casts go, and that the smaller type changes nothing but rounding."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.exporters.reduced import reduced
from tests.exporters.test_checks import model
from vpp_deploy.exporters.precision import PRECISIONS

FLOAT16_ROUNDING = 2.0**-11
"""Largest relative error of rounding to float16."""


def ops_of(rewritten: onnx.ModelProto) -> str:
    """The ops in graph order, a cast by its direction."""
    names = {TensorProto.FLOAT: "up", TensorProto.FLOAT16: "down", TensorProto.BFLOAT16: "down"}
    nodes = rewritten.graph.node
    return " ".join(names[node.attribute[0].i] if node.op_type == "Cast" else node.op_type for node in nodes)


MATRIX_PRODUCTS = [
    ("g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = MatMul (x, w) }", "down down MatMul up"),
    ("g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = Gemm (x, w) }", "down down Gemm up"),
    ("g (float[2,3] x, float[3,4] w, float[4] b) => (float[2,4] y) { y = Gemm (x, w, b) }", "down down down Gemm up"),
    ("g (float[2,3] x) => (float[2,3] y) { y = Softmax (x) }", "Softmax"),
]
CONVOLUTIONS = [
    (
        "g (float[1,3,8,8] x, float[4,3,3,3] w, float[4] b) => (float[1,4,6,6] y) { y = Conv (x, w, b) }",
        "down down down Conv up",
    ),
    ("g (float[1,3,8] x, float[4,3,3] w) => (float[1,4,6] y) { y = Conv (x, w) }", "down down Conv up"),
    (
        "g (float[1,3,8] x, float[3,4,2] w) => (float[1,4,9] y) { y = ConvTranspose (x, w) }",
        "down down ConvTranspose up",
    ),
]


@pytest.mark.parametrize(("text", "expected"), [*MATRIX_PRODUCTS, *CONVOLUTIONS])
def test_inputs_of_products_are_cast_and_their_results_cast_back(text: str, expected: str) -> None:
    assert ops_of(reduced(text)) == expected


@pytest.mark.parametrize(("text", "expected"), MATRIX_PRODUCTS)
def test_bfloat16_is_for_matrix_products(text: str, expected: str) -> None:
    assert ops_of(reduced(text, "bfloat16")) == expected


@pytest.mark.parametrize(("text", "expected"), CONVOLUTIONS)
def test_convolutions_have_no_bfloat16(text: str, expected: str) -> None:
    assert ops_of(reduced(text, "bfloat16")) == expected.split()[-2]


def test_an_input_that_is_left_out_stays_out() -> None:
    graph = model("g (float[1,3,8] x, float[4,3,3] w) => (float[1,4,6] y) { y = Conv (x, w) }")
    graph.graph.node[0].input.append("")
    PRECISIONS["float16"].reduce(graph, "g")
    (conv,) = (node for node in graph.graph.node if node.op_type == "Conv")
    assert list(conv.input) == ["x/float16", "w/float16", ""]


def test_a_tensor_is_cast_once_however_many_products_take_it() -> None:
    rewritten = reduced("""g (float[4,4] x) => (float[4,4] y) {
        a = MatMul (x, x)
        b = Relu (a)
        c = MatMul (b, x)
        d = MatMul (x, b)
        y = Add (c, d)
    }""")
    assert ops_of(rewritten) == "down MatMul up Relu down MatMul up MatMul up Add"


LINEAR = "g (float[2,3] x) => (float[2,4] y) { a = MatMul (x, w) y = Add (%s) }"


def linear(inputs: str, bias_shape: tuple[int, ...]) -> str:
    """The ops of a linear layer whose weights are initializers."""
    layer = model(LINEAR % inputs)
    for name, shape in {"w": (3, 4), "b": bias_shape}.items():
        layer.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    PRECISIONS["float16"].reduce(layer, "g")
    return ops_of(layer)


@pytest.mark.parametrize("inputs", ["a, b", "b, a"])
def test_the_bias_of_a_linear_layer_belongs_to_its_product(inputs: str) -> None:
    assert linear(inputs, (4,)) == "down down MatMul down Add up"


@pytest.mark.parametrize(("inputs", "bias_shape"), [("a, b", (2, 4)), ("b, b", (4,)), ("a, a", (4,))])
def test_other_sums_are_float32(inputs: str, bias_shape: tuple[int, ...]) -> None:
    assert linear(inputs, bias_shape).endswith(" Add")


LAYOUT = {
    "Identity": "b = Identity (a)",
    "Reshape": "s = Constant <value_ints = [2, 6]> () b = Reshape (a, s)",
    "Transpose": "b = Transpose <perm = [1, 0]> (a)",
    "Slice": "i = Constant <value_ints = [0]> () j = Constant <value_ints = [2]> () b = Slice (a, i, j)",
    "Split": "b, unused = Split <num_outputs = 2> (a)",
    "Unsqueeze, Squeeze": "i = Constant <value_ints = [1]> () c = Unsqueeze (a, i) b = Squeeze (c, i)",
    "Concat": "b = Concat <axis = 0> (a, a)",
    "Gather": "i = Constant <value_ints = [1, 0]> () b = Gather (a, i)",
}


@pytest.mark.parametrize("name", LAYOUT)
def test_between_products_layout_ops_run_in_the_smaller_type(name: str) -> None:
    text = f"g (float[4,3] x, float[3,3] w, float[4,6] v) => (float[4,6] y) {{ a = MatMul (x, w) {LAYOUT[name]}"
    widths = {"Reshape": 6, "Transpose": 4}
    text += f" e = Constant <value_ints = [-1, {widths.get(name, 3)}]> () f = Reshape (b, e)"
    text += " t = Transpose <perm = [1, 0]> (f) z = MatMul (f, t) s0 = ReduceSum (z) y = Add (v, s0) }"
    kinds = [kind for kind in ops_of(reduced(text)).split() if kind != "Constant"]
    first, second = (index for index, kind in enumerate(kinds) if kind == "MatMul")
    assert not {"up", "down"} & set(kinds[first:second])
    assert kinds[second:] == ["MatMul", "up", "ReduceSum", "Add"]


def test_a_layout_op_casts_back_only_what_is_used_in_float32() -> None:
    rewritten = reduced("""g (float[4,4] x, float[4,12] w) => (float[4,4] y) {
        qkv = MatMul (x, w)
        q, k, v = Split <axis = 1, num_outputs = 3> (qkv)
        scale = Constant <value_float = 0.5> ()
        scaled = Mul (q, scale)
        kt = Transpose <perm = [1, 0]> (k)
        logits = MatMul (scaled, kt)
        weights = Softmax (logits)
        y = MatMul (weights, v)
    }""")
    expected = "down down MatMul Split up Constant Mul Transpose down MatMul up Softmax down MatMul up"
    assert ops_of(rewritten) == expected
    (cast,) = (node for node in rewritten.graph.node if node.output[0] == "q")
    assert cast.op_type == "Cast"
    produced = {name for node in rewritten.graph.node for name in node.output}
    assert {value.name for value in rewritten.graph.value_info} <= produced


def test_a_layout_op_of_float32_data_stays_float32() -> None:
    rewritten = reduced("""g (float[2,3] x, float[3,3] w) => (float[4,3] y) {
        a = MatMul (x, w)
        b = Concat <axis = 0> (a, x)
        y = MatMul (b, w)
    }""")
    assert ops_of(rewritten) == "down down MatMul up Concat down MatMul up"


def test_what_a_graph_gives_stays_float32() -> None:
    rewritten = reduced("g (float[2,3] x, float[3,3] w) => (float[3,2] y) { a = MatMul (x, w) y = Transpose (a) }")
    assert ops_of(rewritten) == "down down MatMul Transpose up"
    assert [value.type.tensor_type.elem_type for value in rewritten.graph.output] == [TensorProto.FLOAT]


CHAIN = """g (float[6,8] x, float[8,6] w, float[3,5] v) => (float[6,2,5] y) {
    a = MatMul (x, w)
    shape = Constant <value_ints = [6, 2, 3]> ()
    b = Reshape (a, shape)
    c = Transpose <perm = [0, 1, 2]> (b)
    y = MatMul (c, v)
}"""
SHAPES = {"x": (6, 8), "w": (8, 6), "v": (3, 5)}


def inputs(values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, np.ndarray]]:
    return st.fixed_dictionaries(
        {name: arrays.arrays(np.float32, shape, elements=values) for name, shape in SHAPES.items()}
    )


@given(inputs(st.integers(-4, 4).map(float)), st.sampled_from(["float16", "bfloat16"]))
@settings(deadline=None, max_examples=30)
def test_values_that_the_smaller_type_can_hold_are_computed_exactly(
    feed: dict[str, np.ndarray], precision: str
) -> None:
    feed["v"] = np.sign(feed["v"])  # no sum beyond 256, below which bfloat16 holds every integer
    feed["w"] = np.sign(feed["w"])
    (expected,), (result,) = (
        ReferenceEvaluator(graph).run(None, feed) for graph in (model(CHAIN), reduced(CHAIN, precision))
    )
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


@given(inputs(st.floats(-8, 8, width=32)))
@settings(deadline=None, max_examples=30)
def test_the_float16_graph_is_within_float16_rounding(feed: dict[str, np.ndarray]) -> None:
    exact, result = (run(graph, feed) for graph in (model(CHAIN), reduced(CHAIN)))
    sizes = run(model(CHAIN), {name: np.abs(array) for name, array in feed.items()})
    roundings = 8 + 3 + 5  # of each addend and sum of the two products, their inputs and their results
    assert (np.abs(result - exact) <= roundings * FLOAT16_ROUNDING * sizes + 1e-3).all()  # 1e-3: numbers near zero


def run(graph: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]
