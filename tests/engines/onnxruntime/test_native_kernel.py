"""The native kernel computes what the op's PyTorch reference computes, whatever it gets, on any number of threads."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.onnxruntime.conftest import HEADERS
from vpp_deploy import ops
from vpp_deploy.engines.onnxruntime.native_library import NativeLibrary
from vpp_deploy.engines.onnxruntime.sessions import Session, add_native_ops, session_options
from vpp_deploy.errors import BuildError
from vpp_deploy.ops.base import OPSET, VERSION

Arrays = Mapping[str, np.ndarray]
Shapes = Sequence[tuple[int, int]]


def one_node(inputs: Arrays, level_shapes: Sequence[int]) -> onnx.ModelProto:
    """A model of one node, as it is exported."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("DeformableAttention", list(inputs), ["out"], domain="vpp", level_shapes=level_shapes)],
        "one_node",
        [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, [None] * v.ndim) for k, v in inputs.items()],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [None] * 3)],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(ops.DOMAIN, VERSION)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)


def open_session(library: Path, model: onnx.ModelProto, threads: int = 1) -> Session:
    options = session_options(threads)
    add_native_ops(options, NativeLibrary.read(library))
    return Session(model.SerializeToString(), options, error=BuildError, label="the node")


def run(library: Path, inputs: Arrays, shapes: Shapes, threads: int = 1) -> np.ndarray:
    session = open_session(library, one_node(inputs, [size for shape in shapes for size in shape]), threads)
    return session.run(["out"], inputs)[0]


def random_inputs(
    rng: np.random.Generator, shapes: Shapes, *, batch: int, queries: int, heads: int, width: int, points: int
) -> dict[str, np.ndarray]:
    levels = len(shapes)
    inputs = {
        "value": rng.standard_normal((batch, sum(h * w for h, w in shapes), heads, width)),
        "offsets": rng.uniform(-9, 9, (batch, queries, levels, heads, points, 2)),
        "weights": rng.random((batch, queries, heads, levels, points)),
        "reference_points": rng.random((queries, 2)),
    }
    return {name: array.astype(np.float32) for name, array in inputs.items()}


def reference(inputs: Arrays, shapes: Shapes) -> np.ndarray:
    value, offsets, weights, reference_points = (torch.from_numpy(array) for array in inputs.values())
    result: np.ndarray = ops.deformable_attention(value, offsets, weights, reference_points, shapes).numpy()
    return result


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 3),
    queries=st.integers(1, 70),
    heads=st.integers(1, 5),
    width=st.sampled_from([1, 4, 7, 8, 16, 31, 32, 64, 100]),
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    points=st.sampled_from([1, 2, 3, 4, 8, 65]),
)
def test_the_kernel_equals_the_reference(
    native_library: Path, seed: int, batch: int, queries: int, heads: int, width: int, shapes: Shapes, points: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs = random_inputs(rng, shapes, batch=batch, queries=queries, heads=heads, width=width, points=points)
    inputs["offsets"][rng.random(inputs["offsets"].shape) < 0.05] = rng.choice([1e37, -1e37, 2.0**31, -1e9, 1e4])
    got = run(native_library, inputs, shapes)
    assert got.shape == (batch, queries, heads * width)
    scale = max(1, points * len(shapes) / 4)
    np.testing.assert_allclose(got, reference(inputs, shapes), rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("place", [np.nan, np.inf, -np.inf])
def test_a_place_that_is_no_number_gives_none(native_library: Path, place: float) -> None:
    """As in PyTorch: what is wrong before the op must not look right behind it."""
    rng, shapes = np.random.default_rng(0), [(4, 5), (2, 3)]
    inputs = random_inputs(rng, shapes, batch=1, queries=40, heads=2, width=8, points=4)
    inputs["offsets"][rng.random(inputs["offsets"].shape) < 0.02] = place
    hit = ~np.isfinite(inputs["offsets"]).all(axis=(2, 4, 5))
    assert 0 < hit.sum() < hit.size
    got, expected = run(native_library, inputs, shapes), reference(inputs, shapes)
    assert np.array_equal(np.isnan(got).reshape(*hit.shape, 8), np.broadcast_to(hit[..., None], (*hit.shape, 8)))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["value", "weights"])
def test_values_and_weights_that_are_no_numbers_give_none(native_library: Path, name: str) -> None:
    inputs = random_inputs(np.random.default_rng(0), [(3, 3)], batch=1, queries=6, heads=1, width=4, points=2)
    inputs[name][:] = np.nan
    assert np.isnan(run(native_library, inputs, [(3, 3)])).all()


def test_threads_change_no_bit(native_library: Path) -> None:
    shapes = [(12, 20), (6, 10)]
    inputs = random_inputs(np.random.default_rng(0), shapes, batch=2, queries=301, heads=4, width=16, points=4)
    alone = run(native_library, inputs, shapes)
    for threads in (2, 3, 7):
        assert np.array_equal(run(native_library, inputs, shapes, threads), alone)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("value", (1, 13, 2, 4), "value has the shape [1, 13, 2, 4] instead of [1, 12, 2, 4]"),
        ("value", (2, 12, 2, 4), "offsets has the shape [1, 5, 1, 2, 3, 2] instead of [2, 5, 1, 2, 3, 2]"),
        ("value", (1, 12, 4), "value has the shape [1, 12, 4], which has not 4 axes"),
        ("offsets", (1, 5, 2, 2, 3, 2), "offsets has the shape [1, 5, 2, 2, 3, 2] instead of [1, 5, 1, 2, 3, 2]"),
        ("offsets", (1, 5, 1, 2, 3, 3), "offsets has the shape [1, 5, 1, 2, 3, 3] instead of [1, 5, 1, 2, 3, 2]"),
        ("weights", (1, 5, 2, 1, 4), "weights has the shape [1, 5, 2, 1, 4] instead of [1, 5, 2, 1, 3]"),
        ("reference_points", (4, 2), "reference_points has the shape [4, 2] instead of [5, 2]"),
    ],
)
def test_sizes_that_contradict_each_other_are_an_error(
    native_library: Path, name: str, shape: tuple[int, ...], reason: str
) -> None:
    inputs = random_inputs(np.random.default_rng(0), [(3, 4)], batch=1, queries=5, heads=2, width=4, points=3)
    inputs[name] = np.zeros(shape, np.float32)
    with pytest.raises(BuildError) as raised:
        run(native_library, inputs, [(3, 4)])
    assert f"vpp::DeformableAttention: {reason}" in str(raised.value)


@pytest.mark.parametrize("sizes", [[3], [3, 0], [-3, 4], [2**40, 1], [2**24, 2**24]])
def test_levels_that_are_no_maps_are_refused(native_library: Path, sizes: list[int]) -> None:
    inputs = random_inputs(np.random.default_rng(0), [(3, 4)], batch=1, queries=5, heads=2, width=4, points=3)
    with pytest.raises(BuildError, match="level_shapes"):
        open_session(native_library, one_node(inputs, sizes))


def test_nothing_of_nothing_is_nothing(native_library: Path) -> None:
    inputs = random_inputs(np.random.default_rng(0), [(3, 4)], batch=1, queries=5, heads=2, width=4, points=3)
    no_queries = {"offsets": inputs["offsets"][:, :0], "weights": inputs["weights"][:, :0]}
    empty: dict[str, Any] = inputs | no_queries | {"reference_points": inputs["reference_points"][:0]}
    assert run(native_library, empty, [(3, 4)]).shape == (1, 0, 8)
    no_points = inputs | {"offsets": inputs["offsets"][:, :, :, :, :0], "weights": inputs["weights"][..., :0]}
    assert not run(native_library, no_points, [(3, 4)]).any()


def test_every_instruction_set_under_sanitizers(native_build: Path) -> None:
    program = "vpp_onnxruntime_ops_tests"
    with filelock.FileLock(native_build.with_suffix(".lock")):
        done = subprocess.run(["cmake", "--build", native_build, "--target", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([native_build / program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" 0 faults\n")


def test_the_declared_interface_is_that_of_the_headers(native_build: Path) -> None:
    if not HEADERS:
        pytest.skip("ONNXRUNTIME_INCLUDE_DIR is not set: the interface is checked against ONNX Runtime's headers")
    compiled = [path.name for path in native_build.rglob("abi_check.cpp.*")]
    assert any(name.endswith((".o", ".obj")) for name in compiled)
