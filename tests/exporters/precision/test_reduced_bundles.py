"""Real graphs in float16 and bfloat16: what stays float32, and that TensorRT-RTX builds them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto

import vpp_deploy
from tests.exporters.reduced import reduced_bundle
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.tensorrt.build import build_tensorrt_engine
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions
from vpp_deploy.exporters.precision import PRECISIONS, exported_precisions
from vpp_deploy.exporters.precision.casting import MATRIX_PRODUCTS
from vpp_deploy.exporters.precision.decisions import PRODUCTS, decisive_products
from vpp_deploy.frames import Frame

needs_rtx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorrt_rtx", "polygraphy")),
    reason="tensorrt-rtx is not installed: pip install 'vpp-deploy[rtx]'",
)

FOR_ADA = TensorRtBuildOptions(compute_capabilities=("8.9",))


@pytest.fixture(scope="module", params=["float16", "bfloat16"])
def reduced_micro(
    request: pytest.FixtureRequest, micro_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    return reduced_bundle(micro_bundle, request.param, tmp_path_factory.mktemp("reduced") / "micro.bundle")


def graph_of(bundle: Bundle, role: str) -> onnx.GraphProto:
    return onnx.load(bundle.graph_path(role), load_external_data=False).graph


def float32_products(bundle: Bundle, role: str) -> list[str]:
    """Names of the nodes, without their numbers."""
    graph = graph_of(bundle, role)
    decisive = decisive_products(graph)
    return [node.name.rpartition("_")[0] for node in graph.node if node.output[0] in decisive]


def test_of_a_vpp_model_scores_masks_of_attention_and_classes_stay_float32(micro_bundle: Bundle) -> None:
    scores = [f"backbone/selective_modules.{number}.mlp.fc2/MatMul" for number in range(3)]
    head = [*["panoptic_head/MatMul"] * 3, "panoptic_head/cls_embed/MatMul"]
    mapping = "backbone/interactions.0.matching_module.selector.fc2/MatMul"
    assert float32_products(micro_bundle, "init") == [*scores, *head]
    assert float32_products(micro_bundle, "step") == [mapping, *scores, *head]


def test_of_a_papr_model_the_last_convolution_of_the_proposal_and_the_classifier_stay_float32(
    papr_bundle: Bundle,
) -> None:
    last, classifier = float32_products(papr_bundle, "model")
    assert last.startswith("proposal/network.stages.3.1")
    assert classifier == "base/model.head/Gemm"


def test_types_in_a_real_graph(reduced_micro: Bundle) -> None:
    precision = reduced_micro.manifest.precision
    kinds = {"float16": PRODUCTS, "bfloat16": MATRIX_PRODUCTS}[precision]
    graph = graph_of(reduced_micro, "step")
    products = {node.output[0] for node in graph.node if node.op_type in kinds}
    low = {name for name in products if name.endswith(f"/{precision}")}
    assert len(low) > 150
    assert products - low <= decisive_products(graph)
    assert not {tensor.data_type for tensor in graph.initializer} & {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types == {TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL}


def test_the_graphs_are_valid_and_the_weights_are_the_same(reduced_micro: Bundle, micro_bundle: Bundle) -> None:
    for role in reduced_micro.manifest.roles:
        onnx.checker.check_model(str(reduced_micro.graph_path(role)), full_check=True)
    weights, before = (safetensors.numpy.load_file(bundle.weights_path) for bundle in (reduced_micro, micro_bundle))
    assert weights.keys() == before.keys()
    assert all((weights[name] == before[name]).all() for name in before)


@needs_rtx
@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_tensorrt_rtx_builds_a_vpp_graph(precision: str, micro_bundle: Bundle, tmp_path: Path) -> None:
    assert_builds(reduced_bundle(micro_bundle, precision, tmp_path / "micro.bundle"), "step", tmp_path)


@needs_rtx
@pytest.mark.parametrize("precision", exported_precisions())
def test_tensorrt_rtx_builds_a_papr_graph(precision: str, papr_bundle: Bundle, tmp_path: Path) -> None:
    assert_builds(reduced_bundle(papr_bundle, precision, tmp_path / "papr.bundle"), "model", tmp_path)


def assert_builds(bundle: Bundle, role: str, folder: Path) -> None:
    with lowered_graph(bundle, role, folder, "tensorrt") as path:
        build_tensorrt_engine(path, folder / "engine", backend="tensorrt-rtx", options=FOR_ADA)
    assert (folder / "engine").stat().st_size > 0


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_manifest_takes_the_name_of_every_precision(name: str, papr_bundle: Bundle) -> None:
    content = papr_bundle.manifest.model_dump(mode="json") | {"precision": name}
    assert type(papr_bundle.manifest).model_validate(content).precision == name


@pytest.mark.usefixtures("room_for_more")
def test_a_precision_from_elsewhere_goes_all_the_way(papr_bundle: Bundle, tmp_path: Path) -> None:
    """Bundle, engine, parity: nobody looks for one of our names."""
    made_up = replace(PRECISIONS["float16"], name="half")
    PRECISIONS.register("half", made_up)
    bundle = reduced_bundle(papr_bundle, "half", tmp_path / "half.bundle")
    assert Bundle.open(bundle.path).manifest.precision == "half"
    engine = vpp_deploy.build_engine(bundle, "onnxruntime")
    images = np.random.default_rng(0).integers(0, 256, (2, *engine.frame_size, 3), np.uint8)
    frames = [Frame(image, image.shape[:2], image, index) for index, image in enumerate(images)]
    report = vpp_deploy.check_parity(bundle, engine, frames)
    assert report.passed
    assert (report.precision, report.tolerances) == ("half", made_up.tolerances.classification)
