"""Every op: reference, portable body and backend lowerings compute the same, on any shape and batch."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpp_deploy import ops
from vpp_deploy.errors import ExportError, IncompatibleEngineError
from vpp_deploy.ops.base import OPSET, VERSION

FORMS = ["portable", "onnxruntime", "openvino", "tensorrt"]
seeds = st.integers(0, 2**32 - 1)


def run_node(op: str, form: str, inputs: dict[str, np.ndarray], output_dtype: type, output_rank: int, **attributes):
    """One `vpp` node on ONNX Runtime: as exported (portable function) or lowered for a backend."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, list(inputs), ["out"], domain=ops.DOMAIN, **attributes)],
        "one_node",
        [
            onnx.helper.make_tensor_value_info(k, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in inputs.items()
        ],
        [
            onnx.helper.make_tensor_value_info(
                "out", onnx.helper.np_dtype_to_tensor_dtype(np.dtype(output_dtype)), [None] * output_rank
            )
        ],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(ops.DOMAIN, VERSION)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    if form == "portable":
        ops.attach_portable_functions(model)
    else:
        model = ops.lower(model, form)
        assert {node.domain for node in model.graph.node} == {""}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def random_indices(rng: np.random.Generator, batch: int, n: int, k: int) -> np.ndarray:
    return np.stack([np.sort(rng.permutation(n)[:k]) for _ in range(batch)]).astype(np.int32)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, batch=st.integers(1, 3), n=st.integers(1, 40), data=st.data(), by_position=st.booleans())
def test_select_tokens_breaks_ties_by_position(form, seed, batch, n, data, by_position):
    k = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (batch, n)).astype(np.float32)  # many ties
    active = rng.random((batch, n)) < 0.7
    reference = ops.select_tokens(torch.from_numpy(scores), k, torch.from_numpy(active), by_position).numpy()
    for row in range(batch):
        order = sorted(range(n), key=lambda i: (not active[row, i], -scores[row, i] if active[row, i] else 0, i))[:k]
        assert reference[row].tolist() == (sorted(order) if by_position else order)
    inputs = {"scores": scores, "active": active}
    got = run_node("SelectTokens", form, inputs, np.int32, 2, k=k, by_position=int(by_position))
    assert got.dtype == np.int32
    assert np.array_equal(got, reference)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "k"), [(960, 672), (2040, 1428), (3600, 100), (3600, 3599)])
def test_select_tokens_breaks_ties_at_real_sizes(form, n, k):
    """Runtimes choose their algorithm by size; every one must keep the order of equal scores."""
    rng = np.random.default_rng(n + k)
    inputs = {
        "scores": rng.integers(0, 5, (1, n)).astype(np.float32),
        "active": rng.random((1, n)) < 0.9,
    }
    reference = ops.select_tokens(torch.from_numpy(inputs["scores"]), k, torch.from_numpy(inputs["active"])).numpy()
    assert np.array_equal(run_node("SelectTokens", form, inputs, np.int32, 2, k=k, by_position=1), reference)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, batch=st.integers(1, 3), n=st.integers(1, 30), c=st.integers(1, 9), data=st.data())
def test_scatter_after_gather_restores_and_replaces(form, seed, batch, n, c, data):
    k = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    tokens = rng.standard_normal((batch, n, c)).astype(np.float32)
    indices = random_indices(rng, batch, n, k)
    gathered = run_node("GatherTokens", form, {"tokens": tokens, "indices": indices}, np.float32, 3)
    assert np.array_equal(gathered, np.take_along_axis(tokens, indices[..., None].astype(np.int64), 1))
    assert np.array_equal(gathered, ops.gather_tokens(torch.from_numpy(tokens), torch.from_numpy(indices)).numpy())

    def scatter(rows: np.ndarray) -> np.ndarray:
        inputs = {"base": tokens, "indices": indices, "tokens": rows}
        return run_node("ScatterTokens", form, inputs, np.float32, 3)

    assert np.array_equal(scatter(gathered), tokens)
    updated = scatter(gathered + 1)
    expected = ops.scatter_tokens(*(torch.from_numpy(a) for a in (tokens, indices, gathered + 1))).numpy()
    assert np.array_equal(updated, expected)
    assert updated.sum() == pytest.approx(tokens.sum() + batch * k * c, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, batch=st.integers(1, 2), rows=st.integers(1, 7), columns=st.integers(1, 7), data=st.data())
def test_associate_tokens_maximises_similarity(form, seed, batch, rows, columns, data):
    n = rows * columns
    k = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((batch, n, 5)).astype(np.float32)
    keys = rng.standard_normal((batch, k, 5)).astype(np.float32)
    positions = random_indices(rng, batch, n, k)
    inputs = {"queries": queries, "keys": keys, "key_positions": positions}
    got = run_node("AssociateTokens", form, inputs, np.int32, 2, rows=rows, columns=columns)
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    reference = ops.associate_tokens(tensors[0], tensors[1], tensors[2], (rows, columns)).numpy()
    x, y = np.linspace(0, 1, columns), np.linspace(0, 1, rows)
    for b in range(batch):
        for i in range(n):
            place, key = divmod(i, columns), np.divmod(positions[b], columns)
            distance = np.abs(x[place[1]] - x[key[1]]) + np.abs(y[place[0]] - y[key[0]])
            phi = keys[b].astype(float) @ queries[b, i] + np.log10(10 * (2 - distance) / 2 + 1e-6)
            assert phi[reference[b, i]] >= phi.max() - 1e-4
            assert phi[got[b, i]] >= phi.max() - 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_associate_tokens_takes_the_first_of_equal_keys(form):
    keys = np.ones((1, 3, 2), np.float32)
    positions = np.zeros((1, 3), np.int32)  # equal positional terms too
    inputs = {"queries": np.ones((1, 4, 2), np.float32), "keys": keys, "key_positions": positions}
    assert np.array_equal(run_node("AssociateTokens", form, inputs, np.int32, 2, rows=2, columns=2), np.zeros((1, 4)))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None)
@given(
    seed=seeds,
    batch=st.integers(1, 2),
    queries=st.integers(1, 30),
    heads=st.integers(1, 3),
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    points=st.integers(1, 4),
)
def test_deformable_attention(form, seed, batch, queries, heads, shapes, points):
    rng = np.random.default_rng(seed)
    length, width, levels = sum(h * w for h, w in shapes), 4, len(shapes)
    inputs = {
        "value": rng.standard_normal((batch, length, heads, width)),
        "offsets": rng.uniform(-9, 9, (batch, queries, levels, heads, points, 2)),  # also outside the map
        "weights": rng.random((batch, queries, heads, levels, points)),
        "reference_points": rng.random((queries, 2)),
    }
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    got = run_node(
        "DeformableAttention", form, inputs, np.float32, 3, level_shapes=[size for shape in shapes for size in shape]
    )
    value, offsets, weights, points_of_reference = (torch.from_numpy(array) for array in inputs.values())
    reference = ops.deformable_attention(value, offsets, weights, points_of_reference, shapes).numpy()
    assert reference.shape == (batch, queries, heads * width)
    np.testing.assert_allclose(got, reference, atol=2e-5)
    np.testing.assert_allclose(reference, naive_deformable_attention(**inputs, shapes=shapes), atol=2e-5)


def naive_deformable_attention(value, offsets, weights, reference_points, shapes) -> np.ndarray:
    """Deformable DETR, equation 3, written as loops."""
    batch, queries, _, heads, points, _ = offsets.shape
    out = np.zeros((batch, queries, heads, value.shape[-1]))
    starts = np.cumsum([0, *(h * w for h, w in shapes)])
    cells = itertools.product(range(batch), range(queries), range(heads), enumerate(shapes), range(points))
    for b, q, m, (level, (h, w)), p in cells:
        image = value[b, starts[level] : starts[level + 1], m].reshape(h, w, -1)
        y, x = reference_points[q] * (h, w) + offsets[b, q, level, m, p] - 0.5
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < h and 0 <= column < w:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    out[b, q, m] += weights[b, q, m, level, p] * share * image[row, column]
    return out.reshape(batch, queries, -1)


def test_ops_of_another_version_are_refused() -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(ops.DOMAIN, VERSION + 1)])
    with pytest.raises(IncompatibleEngineError, match="export the bundle again"):
        ops.lower(model, "onnxruntime")


def test_unknown_vpp_op_is_refused():
    node = onnx.helper.make_node("PruneEverything", [], ["x"], domain=ops.DOMAIN)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    with pytest.raises(ExportError, match="PruneEverything"):
        ops.lower(model, "onnxruntime")


@pytest.mark.parametrize("form", ["library", "embedded"])
def test_plugins_stand_for_their_ops(form):
    text = """
    <ir_version: 10, opset_import: ["": 20, "vpp": 1]>
    g (float[1,8] s, bool[1,8] a, float[1,4,6] q, float[1,3,6] k, int32[1,3] p) => (int32[1,2] y, int32[1,4] z) {
        y = vpp.SelectTokens <by_position=1, k=2> (s, a)
        z = vpp.AssociateTokens <columns=2, rows=2> (q, k, p)
    }"""
    model = onnx.parser.parse_model(text.replace(": 20", f": {OPSET}").replace(": 1]", f": {VERSION}]"))
    lowered = ops.lower(model, "tensorrt", plugins=form)
    select, associate, *best = lowered.graph.node
    name = "VppAssociateTokens" if form == "library" else "VppAssociateParts"
    assert (select.domain, select.op_type, associate.domain, associate.op_type) == (
        "vpp",
        "VppSelectTokens",
        "vpp",
        name,
    )
    values = {a.name: onnx.helper.get_attribute_value(a) for a in select.attribute}
    identity = {"plugin_version": b"1", "plugin_namespace": b"" if form == "library" else b"vpp"}
    assert values == {"k": 2, "by_position": 1} | identity | ({"aot": 1} if form == "embedded" else {})
    assert [a.name for a in select.attribute][:2] == ["k", "by_position"]  # embedded plugins get them by position
    assert [a.name for a in associate.attribute][:2] == ["rows", "columns"]
    if form == "embedded":
        assert [(node.domain, node.op_type) for node in best] == [("vpp", "VppAssociateBest")]
        assert [a.name for a in associate.attribute][2:] == ["parts", "plugin_version", "plugin_namespace", "aot"]
        assert (list(best[0].input), list(best[0].output)) == (list(associate.output), ["z"])
    assert {node.domain for node in ops.lower(model, "tensorrt").graph.node} == {""}
