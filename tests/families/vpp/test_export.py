"""What an export writes: portable graphs, one copy of the weights, and a manifest that is true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch

import vpp_deploy
from vpp_deploy import ops
from vpp_deploy.bundle.manifest import FRAME_BY_FRAME
from vpp_deploy.errors import CheckpointError, ExportError, OutputError, UsageError
from vpp_deploy.exporters.trace import trace
from vpp_deploy.families.vpp.checkpoint import load_detector, official_state_dict
from vpp_deploy.families.vpp.config import DetectorConfig, model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.folding import folded
from vpp_deploy.families.vpp.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.families.vpp.phases import PhaseGraph, signature
from vpp_deploy.families.vpp.random_weights import randomise_


@pytest.fixture(params=FRAME_BY_FRAME)
def phase(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_manifest_describes_the_graph(micro_bundle: vpp_deploy.Bundle, phase: str) -> None:
    manifest, model = micro_bundle.manifest, onnx.load(micro_bundle.graph_path(phase))
    spec = manifest.graphs[phase]
    states = manifest.state
    inputs = {t.name: (t.dtype, t.shape) for t in spec.inputs}
    outputs = {t.name: (t.dtype, t.shape) for t in spec.outputs} | {s.output: (s.dtype, s.shape) for s in states}
    if phase == "step":
        inputs |= {s.input: (s.dtype, s.shape) for s in states}
    assert {value.name: described(value) for value in model.graph.input} == inputs
    assert {value.name: described(value) for value in model.graph.output} == outputs


def described(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...]]:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return dtype, tuple(dimension.dim_value for dimension in kind.shape.dim)


def test_state_names_sort_the_same_on_both_sides(micro_bundle: vpp_deploy.Bundle) -> None:
    inputs = [state.input for state in micro_bundle.manifest.state]
    outputs = [state.output for state in micro_bundle.manifest.state]
    assert inputs == sorted(inputs)
    assert outputs == sorted(outputs)
    kept = next(p.kept for p in micro_bundle.manifest.pruning_points if p.block == 3)
    assert {s.shape[0] for s in micro_bundle.manifest.state} == {kept}


def test_the_exported_file_runs_as_it_is(micro_bundle: vpp_deploy.Bundle, phase: str) -> None:
    """Any ONNX runtime can run it: vpp ops carry portable bodies."""
    model = onnx.load(micro_bundle.graph_path(phase), load_external_data=False)
    used = {node.op_type for node in model.graph.node if node.domain == ops.DOMAIN}
    assert used == {function.name for function in model.functions}
    assert {"SelectTokens", "GatherTokens", "ScatterTokens", "DeformableAttention"} <= used
    session = onnxruntime.InferenceSession(micro_bundle.graph_path(phase), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {tensor.name: example(tensor.type, tensor.shape, rng) for tensor in session.get_inputs()}
    feed["content_size"] = np.array(micro_bundle.manifest.frame_size, np.int32)
    assert all(np.isfinite(output).all() for output in session.run(None, feed) if output.dtype == np.float32)


def example(kind: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    match kind:
        case "tensor(uint8)":
            return rng.integers(0, 256, shape, dtype=np.uint8)
        case "tensor(int32)":
            return np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        case "tensor(bool)":
            return rng.random(shape) < 0.5
    return rng.standard_normal(shape).astype(np.float32)


def test_weights_are_stored_once_under_their_official_names(micro_bundle: vpp_deploy.Bundle) -> None:
    config = DetectorConfig.from_dict(micro_bundle.manifest.model.config)
    expected = official_state_dict(randomise_(VppDetector(config), micro_bundle.manifest.provenance.weights.seed))
    stored = safetensors.torch.load_file(micro_bundle.weights_path)
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())
    matrices = [tensor for tensor in expected.values() if tensor.ndim == 2 and tensor.nbytes >= 1024]
    extra = [tensor for name, tensor in stored.items() if name not in expected]
    folded = [tensor for tensor in extra if any(torch.equal(tensor, matrix.T) for matrix in matrices)]
    assert folded == []


def test_nothing_of_the_exporting_machine_is_in_the_graph(micro_bundle: vpp_deploy.Bundle, phase: str) -> None:
    content = micro_bundle.graph_path(phase).read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b"site-packages" not in content


def test_provenance_says_random(micro_bundle: vpp_deploy.Bundle) -> None:
    source = micro_bundle.manifest.provenance.weights
    assert (source.kind, source.seed) == ("random", 0)
    written = json.loads((micro_bundle.path / "manifest.json").read_text())
    assert (written["schema_version"], written["model"]["task"]) == (3, "segmentation")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, UsageError, "comes without weights: give --checkpoint FILE, or --random-weights"),
        ({"checkpoint": "no.pth"}, CheckpointError, "no such file"),
        ({"random_weights": vpp_deploy.RandomWeights(), "size": (100, 100)}, ExportError, "multiples of 32"),
        ({"random_weights": vpp_deploy.RandomWeights(), "size": (32, 32), "keep": "0.4"}, ExportError, "no token"),
        ({"random_weights": vpp_deploy.RandomWeights(), "dataset": "coco"}, ExportError, "unknown data set"),
        ({"random_weights": vpp_deploy.RandomWeights(), "precision": "half"}, UsageError, "unknown precision 'half'"),
    ],
)
def test_a_failed_export_leaves_nothing(
    arguments: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        vpp_deploy.export("vpp-micro", out=tmp_path / "x.bundle", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_not_replaced_by_accident(micro_bundle: vpp_deploy.Bundle) -> None:
    with pytest.raises(OutputError, match="exists already"):
        vpp_deploy.export("vpp-micro", out=micro_bundle.path, random_weights=vpp_deploy.RandomWeights())


def test_the_bundles_weights_load_as_a_checkpoint(micro_bundle: vpp_deploy.Bundle) -> None:
    config = DetectorConfig.from_dict(micro_bundle.manifest.model.config)
    load_detector(config, micro_bundle.weights_path, ignore_prefix="graph/")


@pytest.mark.usefixtures("one_thread")
def test_a_graph_with_selection_noise_computes_what_the_model_does_and_minds_it() -> None:
    config = model_config("vpp-micro", "0.55")
    config = replace(config, head=replace(config.head, encoder_layers=1, decoder_layers=1))
    detector = randomise_(VppDetector(config), 0)
    graph = (
        FrameGraph(folded(detector.eval()), GraphOptions((64, 96), selection_noise=True)).eval().requires_grad_(False)
    )
    module, signed = PhaseGraph(graph, "init"), signature(graph, "init")
    model = trace(module, signed, config.name, "frame_graph.detector")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    frame, size = generator.integers(0, 256, (64, 96, 3), np.uint8), np.array([64, 96], np.int32)
    kept = set()
    for _ in range(2):
        noise = generator.gumbel(scale=50, size=signed.example[-1].shape).astype(np.float32)  # louder than the scores
        outputs = session.run(None, dict(zip(signed.input_names, (frame, size, noise), strict=True)))
        found = dict(zip(signed.output_names, outputs, strict=True))
        with torch.no_grad():
            expected = module(*map(torch.from_numpy, (frame, size, noise)))
        for name, tensor in zip(signed.output_names, expected, strict=True):
            np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-3, err_msg=name)
        kept.add(tuple(sorted(found["kept_selection_3"])))
    assert len(kept) == 2
