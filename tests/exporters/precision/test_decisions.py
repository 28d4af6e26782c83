"""Which products stay float32: those that a decision rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exporters.reduced import reduced
from tests.exporters.test_checks import model
from vpp_deploy import ops
from vpp_deploy.exporters.precision.decisions import decisive_products
from vpp_deploy.ops.base import Body, OpDefinition

DECIDING = {
    "TopK": "k = Constant <value_ints = [1]> () v, d = TopK (s, k)",
    "ArgMax": "d = ArgMax (s)",
    "Greater": "d = Greater (s, limit)",
    "Less": "d = Less (limit, s)",
    "GreaterOrEqual": "d = GreaterOrEqual (s, limit)",
    "LessOrEqual": "d = LessOrEqual (s, limit)",
    "Equal": "d = Equal (s, limit)",
    "SelectTokens": "on = Greater (x, x) d = vpp.SelectTokens <k = 1, by_position = 1> (s, on)",
}


@pytest.mark.parametrize("name", DECIDING)
def test_the_last_product_before_a_decision_stays_float32(name: str) -> None:
    rewritten = reduced(f"""g (float[3,3] x, float[3,3] w, float[1] limit) => (float[3,3] y) {{
        a = MatMul (x, w)
        b = Gelu (a)
        c = MatMul (b, w)
        e = Add (c, x)
        s = Softmax (e)
        {DECIDING[name]}
        z = Cast <to = 1> (d)
        y = MatMul (e, w)
    }}""")
    types = {node.output[0]: node.input[0] for node in rewritten.graph.node if node.op_type == "MatMul"}
    assert list(types) == ["a/float16", "c", "y/float16"]
    assert types["c"] == "b"


def test_every_path_to_a_decision_is_followed_to_its_first_product() -> None:
    """A residual sum has two."""
    graph = model("""g (float[3,3] x, float[3,3] w) => (bool[3,3] y) {
        a = MatMul (x, w)
        b = MatMul (a, w)
        c = Relu (b)
        d = MatMul (c, w)
        e = Add (b, d)
        f = vpp.GatherTokens (e, positions)
        y = Less (f, x)
    }""").graph
    assert decisive_products(graph) == {"b", "d"}


@pytest.mark.parametrize("output", ["class_logits", "logits"])
def test_scores_that_the_host_decides_on_stay_float32(output: str) -> None:
    text = f"g (float[3,3] x, float[3,3] w) => (float[3,3] {output}, float[3,3] y) {{ {output} = Gemm (x, w)"
    assert decisive_products(model(text + " y = Gemm (x, x) }").graph) == {output}


def test_similarities_are_computed_in_float32_by_the_ops_that_decide_on_them() -> None:
    graph = model("""g (float[1,4,3] x, float[3,3] w, int32[1,4] p) => (int32[1,4] rows, bool[1,4] y) {
        queries = MatMul (x, w)
        source = vpp.AssociateTokens <rows = 2, columns = 2> (queries, x, p)
        metric = MatMul (x, w)
        rows = vpp.MatchTokens <r = 1, prefix = 0> (metric)
        y = Less (source, rows)
    }""").graph
    assert decisive_products(graph) == set()


@pytest.mark.parametrize(
    ("moves_values", "decides", "expected"),
    [
        (True, False, {"a", "b"}),  # the comparison after it rests on its inputs
        (False, False, set()),  # it computes what is compared
        (False, True, {"a", "b"}),
        (True, True, {"a", "b"}),
    ],
)
def test_an_op_is_known_by_what_it_says_of_itself(
    moves_values: bool, decides: bool, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = OpDefinition(
        name="ShuffleTokens",
        inputs=("tokens", "others"),
        shapes=("AB", "AB"),
        output="shuffled",
        attributes=(),
        moves_values=moves_values,
        decides=decides,
        portable=Body("shuffled = Max (tokens, others)"),
    )
    monkeypatch.setitem(ops.OPS, made_up.name, made_up)
    text = """g (float[3,3] x, float[3,3] w) => (float[3,3] y, bool[3,3] z) {
        a = MatMul (x, w)
        b = MatMul (x, x)
        c = vpp.ShuffleTokens (a, b)
        z = Less (c, x)
        y = MatMul (x, w)
    }"""
    assert decisive_products(model(text).graph) == expected
    products = [node.output[0] for node in reduced(text).graph.node if node.op_type == "MatMul"]
    assert products == [*(name if name in expected else f"{name}/float16" for name in "ab"), "y/float16"]


def test_only_deciding_is_reason_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the others say, one op changed: nothing but its two facts is looked at."""
    text = """g (float[1,4,3] x, float[3,3] w, int32[1,4] p) => (int32[1,4] source) {
        queries = MatMul (x, w)
        source = vpp.AssociateTokens <rows = 2, columns = 2> (queries, x, p)
    }"""
    assert decisive_products(model(text).graph) == set()
    monkeypatch.setitem(ops.OPS, "AssociateTokens", replace(ops.OPS["AssociateTokens"], decides=True))
    assert decisive_products(model(text).graph) == {"queries"}
