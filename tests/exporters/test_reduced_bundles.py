"""Real graphs in float16 and bfloat16: what stays float32, and that TensorRT-RTX builds them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto

from tests.exporters.reduced import reduced_bundle
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.manifest import Manifest
from vpp_deploy.cli import export_options
from vpp_deploy.engines.build_contract import TensorRtOptions
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.tensorrt_build import build_tensorrt_engine
from vpp_deploy.exporters.precision import PRODUCTS, decisive_products
from vpp_deploy.precision import Precision

needs_rtx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorrt_rtx", "polygraphy")),
    reason="tensorrt-rtx is not installed: pip install 'vpp-deploy[rtx]'",
)

FOR_ADA = TensorRtOptions(compute_capabilities=("8.9",))


@pytest.fixture(scope="module", params=["float16", "bfloat16"])
def reduced_micro(
    request: pytest.FixtureRequest, micro_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    return reduced_bundle(micro_bundle, request.param, tmp_path_factory.mktemp("reduced") / "micro.bundle")


def graph_of(bundle: Bundle, phase: str) -> onnx.GraphProto:
    return onnx.load(bundle.graph_path(phase), load_external_data=False).graph


def float32_products(bundle: Bundle, phase: str) -> list[str]:
    """Names of the nodes, without their numbers."""
    graph = graph_of(bundle, phase)
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
    graph = graph_of(reduced_micro, "step")
    products = {node.output[0] for node in graph.node if node.op_type in PRODUCTS[precision]}
    low = {name for name in products if name.endswith(f"/{precision}")}
    assert len(low) > 150
    assert products - low <= decisive_products(graph)
    assert not {tensor.data_type for tensor in graph.initializer} & {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL}


def test_the_graphs_are_valid_and_the_weights_are_the_same(reduced_micro: Bundle, micro_bundle: Bundle) -> None:
    for phase in reduced_micro.manifest.phases:
        onnx.checker.check_model(str(reduced_micro.graph_path(phase)), full_check=True)
    weights, before = (safetensors.numpy.load_file(bundle.weights_path) for bundle in (reduced_micro, micro_bundle))
    assert weights.keys() == before.keys()
    assert all((weights[name] == before[name]).all() for name in before)


@needs_rtx
def test_tensorrt_rtx_builds_a_vpp_graph(reduced_micro: Bundle, tmp_path: Path) -> None:
    assert_builds(reduced_micro, "step", tmp_path)


@needs_rtx
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_tensorrt_rtx_builds_a_papr_graph(precision: Precision, papr_bundle: Bundle, tmp_path: Path) -> None:
    assert_builds(reduced_bundle(papr_bundle, precision, tmp_path / "papr.bundle"), "model", tmp_path)


def assert_builds(bundle: Bundle, phase: str, folder: Path) -> None:
    with lowered_graph(bundle, phase, folder, "tensorrt") as path:
        build_tensorrt_engine(path, folder / "engine", flavour="tensorrt-rtx", options=FOR_ADA)
    assert (folder / "engine").stat().st_size > 0


def test_the_command_line_and_the_manifest_know_the_same_precisions() -> None:
    known = get_args(Precision)
    assert get_args(export_options.Precision) == known
    assert get_args(Manifest.model_fields["precision"].annotation) == known
