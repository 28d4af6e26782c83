"""Graphs that a stranger wrote are refused before a library sees them, for what is wrong with them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.bundle.factory import make_bundle
from tests.bundle.tensors_factory import make_tensors
from tests.fuzz import bundles
from tests.fuzz.hostile_bundles import graph_changes
from vpp_deploy.bundle import Bundle, GraphRole
from vpp_deploy.engines import build_engine, load_engine
from vpp_deploy.engines.graph_check import peak_bytes
from vpp_deploy.engines.lowered import lowered_graph, lowered_model
from vpp_deploy.errors import BundleError, IncompatibleEngineError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny.bundle")


def changed(bundle: Bundle, role: GraphRole, change: Callable[[onnx.ModelProto], object]) -> Bundle:
    """The bundle with another graph, and the hash of it."""
    path = bundle.graph_path(role)
    model = onnx.load(path, load_external_data=False)
    content = change(model)
    bundles.replace_file(bundle.path, path.name, content if isinstance(content, bytes) else model.SerializeToString())
    return Bundle.open(bundle.path)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("text", "is not an ONNX file"),
        ("an input of another name", "has the input 'frame' as none, the manifest says uint8 [32, 48, 3]"),
        ("an input of another type", "has the input 'frame' as type 11 [32, 48, 3], the manifest says uint8"),
        ("outputs of another length", "has the output 'kept' as int32 [1099511627776], the manifest says int32 [3]"),
        ("a late opset", "is not of opset 20"),
        ("nested functions", "uses the op 'deep::f0', which no export writes"),
        ("functions that call each other", "uses the op 'deep::f0', which no export writes"),
        ("an endless loop", "uses the op 'Loop', which no export writes"),
        ("a deformable attention over a prime", "has offsets of shape"),
        ("a terabyte when it runs", "computes 'terabyte', whose shape is not static"),
        ("a terabyte of constants", "has the constant 'claim' of shape [1048576, 262144] without the values for it"),
        ("constants of another file", "in the file '../outside', where only weights.safetensors can be"),
        ("constants beyond the file", "beyond the end of 'weights.safetensors'"),
        ("constants at a negative place", "of 16 bytes at '-16'"),
        ("a foreign op", "uses the op 'evil::Run', which no export writes"),
    ],
)
def test_what_is_wrong_with_a_graph_is_said(bundle: Bundle, label: str, words: str) -> None:
    with pytest.raises(BundleError) as caught:
        build_engine(changed(bundle, "step", graph_changes()[label]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (bundle.path / "engines" / "onnxruntime").exists()


def test_a_foreign_function_is_refused_even_if_nothing_calls_it(bundle: Bundle) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    function = helper.make_function("their", "f", ["x"], ["y"], [node], [helper.make_opsetid("", 20)])
    with pytest.raises(BundleError, match="holds the function 'f', which no export writes"):
        build_engine(changed(bundle, "init", lambda model: model.functions.append(function)))


def test_an_engine_of_another_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """Hashes are right, and so is the record."""
    build_engine(bundle)
    other = make_bundle(tmp_path / "other.bundle", seed=1)
    content = (build_engine(other), (other.engine_folder("onnxruntime") / "init.onnx").read_bytes())[1]
    bundles.replace_engine_file(bundle.path, "step.onnx", content)
    with pytest.raises(IncompatibleEngineError, match=r"step\.onnx has the input .* the manifest says .*build-engine"):
        load_engine(bundle)


@pytest.mark.parametrize("label", ["half", "an endless loop", "nested functions", "constants of another file"])
def test_an_engine_graph_is_held_to_the_same(bundle: Bundle, label: str) -> None:
    build_engine(bundle)
    path = bundle.engine_folder("onnxruntime") / "step.onnx"
    model = onnx.load(path, load_external_data=False)
    content = graph_changes()[label](model)
    bundles.replace_engine_file(
        bundle.path, path.name, content if isinstance(content, bytes) else model.SerializeToString()
    )
    with pytest.raises(IncompatibleEngineError, match=r"step\.onnx.*build-engine") as caught:
        load_engine(bundle)
    assert "\n" not in str(caught.value)


WIDE = """g (float[1,LENGTH] x) => (float[1,1] y) {
    column = Transpose <perm = [1, 0]> (x)
    square = MatMul (column, x)
    y = ReduceMean <keepdims = 1> (square)
}"""


def test_memory_is_bounded_by_what_the_user_allows(tmp_path: Path) -> None:
    """The square in the middle, which is in no manifest, and the row and the column that it is made of."""
    path = make_tensors(tmp_path / "wide.bundle", WIDE.replace("LENGTH", "1000")).path
    needed = 4 * (1000 * 1000 + 2 * 1000)
    for backend in ("onnxruntime", "onnxruntime-cuda"):
        with pytest.raises(
            BundleError, match=r"the model graph would take 4\.01 MB of memory, more than the 4\.01 MB .*--max-memory"
        ):
            build_engine(Bundle.open(path, max_memory=needed - 1), backend)
    build_engine(Bundle.open(path, max_memory=needed))
    with pytest.raises(BundleError, match="inputs, outputs and state of the model graph would take"):
        load_engine(Bundle.open(path, max_memory=4000))
    huge = make_tensors(tmp_path / "huge.bundle", WIDE.replace("LENGTH", "1000000"))
    with pytest.raises(BundleError, match=r"would take 4 TB of memory, more than the 2 GB"):
        build_engine(huge)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_the_peak_is_of_what_is_alive_at_once(lengths: list[int]) -> None:
    begin = helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, 1])
    end = helper.make_tensor_value_info(f"t{len(lengths)}", TensorProto.FLOAT, [max(lengths), 1])
    grown = list(np.maximum.accumulate(lengths))
    shapes = [onnx.numpy_helper.from_array(np.array([length, 1]), f"s{n}") for n, length in enumerate(grown)]
    nodes = [helper.make_node("Expand", ["t0", f"s{n}"], [f"t{n + 1}"]) for n in range(len(grown))]
    graph = helper.make_graph(nodes, "chain", [begin], [end], shapes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    alive = 4 * (1 + max(grown)) + 16 * len(grown)  # the input, one of them at a time, and the constants
    assert peak_bytes(model, frozenset(f"t{n + 1}" for n in range(len(grown))), stored=0) == alive


def test_a_lowered_graph_goes_to_fresh_files(bundle: Bundle, tmp_path: Path) -> None:
    """Whatever the weights are called, and whoever else has a link to them."""
    twin = tmp_path / "twin"
    os.link(bundle.weights_path, twin)
    content = json.loads((bundle.path / "manifest.json").read_text())
    content["files"]["lowered.onnx"] = content["files"].pop("weights.safetensors")
    content["weights_file"] = "lowered.onnx"
    (bundle.path / "manifest.json").write_text(json.dumps(content))
    bundle.weights_path.rename(bundle.path / "lowered.onnx")
    before = {path: path.read_bytes() for path in (twin, *bundle.path.iterdir())}
    for role in bundle.manifest.roles:
        model = onnx.load(bundle.graph_path(role), load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "lowered.onnx"
        bundles.replace_file(bundle.path, f"{role}.onnx", model.SerializeToString())
        before[bundle.graph_path(role)] = bundle.graph_path(role).read_bytes()
        before[bundle.path / "manifest.json"] = (bundle.path / "manifest.json").read_bytes()
    renamed = Bundle.open(bundle.path)
    build_engine(renamed)
    for role in renamed.manifest.roles:
        with lowered_graph(renamed, role, tmp_path, "onnxruntime") as path:
            assert path.stat().st_nlink == 1
    assert {path: path.read_bytes() for path in before} == before


def test_weights_that_change_after_the_bundle_was_opened(bundle: Bundle) -> None:
    bundle.weights_path.write_bytes(bundle.weights_path.read_bytes()[::-1])
    for backend in ("onnxruntime", "onnxruntime-cuda"):
        with pytest.raises(BundleError, match="the weights were altered"):
            build_engine(bundle, backend)


def test_sound_graphs_pass(bundle: Bundle) -> None:
    for role in bundle.manifest.roles:
        assert lowered_model(bundle, role, "tensorrt").graph.node


def test_a_name_that_is_not_utf8_is_refused_wherever_it_stands(bundle: Bundle) -> None:
    """Protobuf reads it as bytes, and nothing that sorts or prints names expects those."""
    path = bundle.graph_path("step")
    sound = path.read_bytes()
    names = (b"frame", b"embedding", b"MatMul", b"new_tokens", b"to", b"location", b"weights.safetensors")
    for name in names:
        place = sound.index(bytes((len(name),)) + name) + 1
        bundles.replace_file(bundle.path, path.name, sound[:place] + b"\xff" + sound[place + 1 :])
        with pytest.raises(BundleError, match="holds a name that is not UTF-8"):
            lowered_model(Bundle.open(bundle.path), "step", "onnxruntime")
