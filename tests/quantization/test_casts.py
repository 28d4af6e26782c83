"""Smaller floats for chosen layers: the same graph as an export's where all are chosen, and a switch for each group."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantization.test_qdq import WEIGHT, X, run, two_layers
from vpp_deploy.exporters.precision import PRECISIONS
from vpp_deploy.exporters.precision.casting import Casting
from vpp_deploy.quantization.casts import cast_by_choice, groups_of_products
from vpp_deploy.quantization.qdq import switch
from vpp_deploy.quantization.reduction import Casts


def casting(precision: str = "float16") -> Casting:
    found = PRECISIONS[precision].casting
    assert found is not None
    return found


def half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16).astype(np.float32)


def test_a_choice_computes_what_the_cast_graph_computes() -> None:
    exact, chosen = two_layers(), two_layers()
    products = groups_of_products(exact.graph, casting())
    assert products == {"h": "a/blocks.0", "y": "a/head"}
    cast_by_choice(chosen, onnx.TensorProto.FLOAT16, products)
    off = {switch(group): np.array(False) for group in products.values()}
    np.testing.assert_array_equal(run(chosen, x=X, **off), run(exact, x=X))
    halves = (X.astype(np.float16).astype(np.float32) @ WEIGHT.T.astype(np.float16).astype(np.float32)).astype(
        np.float16
    )
    only_first = off | {switch("a/blocks.0"): np.array(True)}
    np.testing.assert_array_equal(
        run(chosen, x=X, **only_first), halves.astype(np.float32) @ np.ones((6, 3), np.float32)
    )


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_layers_that_are_left_out_stay_float32(precision: str) -> None:
    whole, part = two_layers(), two_layers()
    reduction = Casts(casting(precision), {"step": groups_of_products(whole.graph, casting(precision))})
    assert reduction.groups("step") == ("a/blocks.0", "a/head")
    assert reduction.write("step", whole, ()) == 2
    assert reduction.write("step", part, ("a/head",)) == 1
    kinds = [[node.op_type for node in model.graph.node].count("Cast") for model in (whole, part)]
    assert kinds[1] < kinds[0]
    (last,) = [node for node in part.graph.node if node.output[0] == "y"]
    assert (last.op_type, list(last.input)) == ("MatMul", ["h", "v"])
