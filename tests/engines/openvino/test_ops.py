"""The form of the ops that OpenVINO gets, on OpenVINO: what PyTorch computes, and ties by position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto, helper

from vpp_deploy import ops
from vpp_deploy.engines.openvino.models import settings, store
from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions
from vpp_deploy.ops.base import OPSET, VERSION


def run_node(folder: Path, op: str, inputs: dict[str, np.ndarray], output_type: int, **attributes: Any) -> np.ndarray:
    """One `vpp` node, built and compiled as an engine's graph is."""
    values = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()
    ]
    node = helper.make_node(op, list(inputs), ["out"], domain=ops.DOMAIN, **attributes)
    graph = helper.make_graph([node], "one_node", values, [helper.make_tensor_value_info("out", output_type, None)])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ops.DOMAIN, VERSION)]
    onnx.save(
        ops.lower(helper.make_model(graph, opset_imports=opsets, ir_version=10), "openvino"), folder / "node.onnx"
    )
    store(folder / "node.onnx", folder / "node.xml", "a node")
    compiled = openvino.Core().compile_model(folder / "node.xml", "CPU", settings(OpenVinoLoadOptions(threads=1)))
    return compiled(inputs)["out"]


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize(("batch", "n", "k"), [(1, 33, 1), (2, 24, 12), (3, 17, 16), (1, 960, 403), (8, 196, 98)])
def test_equal_scores_are_selected_by_position(tmp_path: Path, batch: int, n: int, k: int, by_position: bool) -> None:
    rng = np.random.default_rng(n)
    scores = rng.integers(0, 4, (batch, n)).astype(np.float32)
    for share in (1.0, 0.3):
        active = rng.random((batch, n)) < share
        inputs = {"scores": scores, "active": active}
        found = run_node(tmp_path, "SelectTokens", inputs, TensorProto.INT32, k=k, by_position=int(by_position))
        expected = ops.select_tokens(torch.from_numpy(scores), k, torch.from_numpy(active), by_position)
        np.testing.assert_array_equal(found, expected.numpy())


def test_equal_similarities_are_associated_by_position(tmp_path: Path) -> None:
    rows, columns, kept = 4, 6, 9
    rng = np.random.default_rng(0)
    key = rng.standard_normal((1, 1, 8)).astype(np.float32)
    queries, keys = np.repeat(key, rows * columns, 1), np.repeat(key, kept, 1)
    positions = np.full((1, kept), 7, np.int32)
    inputs = {"queries": queries, "keys": keys, "key_positions": positions}
    found = run_node(tmp_path, "AssociateTokens", inputs, TensorProto.INT32, rows=rows, columns=columns)
    assert (found == 0).all()


def test_equal_tokens_are_merged_by_position(tmp_path: Path) -> None:
    metric = np.random.default_rng(0).integers(1, 3, (2, 20, 2)).astype(np.float32)
    found = run_node(tmp_path, "MatchTokens", {"metric": metric}, TensorProto.INT32, r=6, prefix=1)
    np.testing.assert_array_equal(found, ops.match_tokens(torch.from_numpy(metric), 6, 1).numpy())


@pytest.mark.parametrize(
    ("batch", "queries", "heads", "points", "shapes"),
    [(1, 35, 3, 4, [(5, 7)]), (2, 11, 2, 4, [(6, 4), (3, 2), (1, 1)]), (1, 5, 1, 33, [(4, 4), (2, 2)])],
)
def test_deformable_attention(
    tmp_path: Path, batch: int, queries: int, heads: int, points: int, shapes: list[tuple[int, int]]
) -> None:
    """The last case has more points than are worth a node each."""
    rng = np.random.default_rng(queries)
    levels, length = len(shapes), sum(h * w for h, w in shapes)
    inputs = {
        "value": rng.standard_normal((batch, length, heads, 8)),
        "offsets": 3 * rng.standard_normal((batch, queries, levels, heads, points, 2)),
        "weights": rng.random((batch, queries, heads, levels, points)),
        "reference_points": rng.random((queries, 2)),
    }
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    flat = [size for shape in shapes for size in shape]
    found = run_node(tmp_path, "DeformableAttention", inputs, TensorProto.FLOAT, level_shapes=flat)
    value, offsets, weights, reference_points = map(torch.from_numpy, inputs.values())
    expected = ops.deformable_attention(value, offsets, weights, reference_points, shapes)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5 * points)


@pytest.mark.parametrize("batch", [1, 2])
def test_rows_are_gathered_and_scattered(tmp_path: Path, batch: int) -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((batch, 9, 4)).astype(np.float32)
    indices = np.stack([np.sort(rng.permutation(9)[:5]) for _ in range(batch)]).astype(np.int32)
    rows = run_node(tmp_path, "GatherTokens", {"tokens": base, "indices": indices}, TensorProto.FLOAT)
    np.testing.assert_array_equal(rows, np.take_along_axis(base, indices[:, :, None], 1))
    inputs = {"base": base, "indices": indices, "tokens": -rows}
    found = run_node(tmp_path, "ScatterTokens", inputs, TensorProto.FLOAT)
    expected = base.copy()
    np.put_along_axis(expected, indices[:, :, None], -rows, 1)
    np.testing.assert_array_equal(found, expected)
