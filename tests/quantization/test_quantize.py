"""`vpp-deploy quantize`, whole: bundles of each task, and everything that can be wrong with what it is given."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import vpp_deploy
from tests.bundle.tensors_factory import make_tensors
from tests.cli.conftest import Cli
from tests.exporters.precision.test_reduced_bundles import FOR_ADA, needs_rtx
from tests.exporters.reduced import reduced_bundle
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import load_engine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.tensorrt.build import build_tensorrt_engine
from vpp_deploy.errors import ExitCode, UsageError
from vpp_deploy.media.reader import read_video

HELD_OUT = 32
"""Frames that --auto takes at least."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("data") / "clip.mp4", frames=HELD_OUT, size=(96, 144))


@pytest.fixture(scope="module")
def video8(micro_bundle: Bundle, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A quantised video model with an engine."""
    from vpp_deploy.quantization.quantizer import QuantizeOptions, quantize

    folder = tmp_path_factory.mktemp("int8") / "micro8.bundle"
    made = quantize(micro_bundle, clip, folder, QuantizeOptions(frames=10))
    vpp_deploy.build_engine(made)
    return Bundle.open(folder)


def test_every_graph_is_calibrated_on_what_it_meets(video8: Bundle, micro_bundle: Bundle) -> None:
    facts = video8.manifest.quantization
    assert video8.manifest.precision == "int8"
    assert facts is not None
    assert facts.runs == {"init": 2, "step": 9}  # one stream of 10 frames, and a fresh start at the ninth
    assert facts.products["step"] > 50
    assert video8.manifest.files["weights.safetensors"] == micro_bundle.manifest.files["weights.safetensors"]
    graph = onnx.load(video8.graph_path("step"), load_external_data=False).graph
    scales = {tensor.name for tensor in graph.initializer if tensor.name.endswith("/int8/scale")}
    assert len(scales) > facts.products["step"]  # one for each weight, and those of activations
    zeros = [tensor for tensor in graph.initializer if tensor.name.endswith("/zero_point")]
    assert not any(onnx.numpy_helper.to_array(tensor).any() for tensor in zeros)


def test_the_engine_really_computes_in_int8(video8: Bundle) -> None:
    graph = onnx.load(video8.engine_folder("onnxruntime") / "step.onnx", load_external_data=False).graph
    kinds = [node.op_type for node in graph.node]
    facts = video8.manifest.quantization
    assert facts is not None
    assert kinds.count("MatMulIntegerToFloat") == facts.products["step"]
    assert "DequantizeLinear" not in kinds


def test_a_quantised_video_model_finds_nearly_what_it_found(video8: Bundle, micro_bundle: Bundle, clip: Path) -> None:
    sides = [vpp_deploy.open_session(load_engine(bundle, threads=1)) for bundle in (micro_bundle, video8)]
    with read_video(clip, micro_bundle.manifest.frame_size, max_frames=3) as frames:
        for frame in frames:
            logits = [side.stream.run(side.prepare(frame))["class_logits"] for side in sides]
            assert 0 < np.linalg.norm(logits[1] - logits[0]) < 0.5 * np.linalg.norm(logits[0])


def test_a_classifier_with_convolutions_is_within_the_bar_of_int8(
    papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli, one_thread: None
) -> None:
    made = tmp_path / "vit8.bundle"
    outcome = cli("quantize", papr_bundle.path, "--data", clip, "-o", made, "--frames", 8, "--convolutions")
    assert outcome.code == 0, outcome.err
    assert cli("build-engine", made).code == 0
    assert cli("parity", made, "--input", clip, "--frames", 4).code == 0
    page = cli("inspect", made).out
    assert "int8" in page
    assert "mse, on clip.mp4" in page
    manifest = json.loads(cli("inspect", made, "--json").out)["manifest"]
    assert manifest["quantization"]["convolutions"] is True


def test_layers_that_cost_most_stay_float32(papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli) -> None:
    words = ("quantize", papr_bundle.path, "--data", clip, "--frames", HELD_OUT)
    whole = tmp_path / "whole.bundle"
    assert cli(*words, "-o", whole, "--auto", "0.9").code == 0
    found = search_of(whole)
    assert found["layers"] == {}
    assert manifest_of(whole)["quantization"]["float32"] == []
    bound = found["error"] / 2
    part = tmp_path / "part.bundle"
    assert cli(*words, "-o", part, "--auto", bound).code == 0
    found, kept = search_of(part), manifest_of(part)["quantization"]["float32"]
    assert found["error"] <= bound < found["error_of_all"]
    assert kept == list(found["layers"])[: len(kept)]  # the worst ones, and not more than it takes
    errors = list(found["layers"].values())
    assert errors == sorted(errors, reverse=True)
    quantised = manifest_of(part)["quantization"]["products"]["model"]
    assert 0 < quantised < manifest_of(whole)["quantization"]["products"]["model"]
    none = tmp_path / "none.bundle"
    cli(*words, "-o", none, "--auto", "1e-9").assert_one_line_error(ExitCode.PARITY, "1e-09 cannot be met", "alone")
    assert not none.exists()


def search_of(bundle: Path) -> Any:
    return manifest_of(bundle)["quantization"]["search"]


def manifest_of(bundle: Path) -> Any:
    return Bundle.open(bundle).manifest.model_dump(mode="json")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--frames", 7), ExitCode.USAGE, "7 frames are not enough to quantise a model: allow at least 8"),
        (("--frames", 31, "--auto", 0.1), ExitCode.USAGE, "(--auto; a quarter is held out): allow at least 32"),
        (("--ranges", "entropy"), ExitCode.USAGE, "use mse, percentile, max"),
        (("--percentile", 99), ExitCode.USAGE, "--percentile is for --ranges percentile"),
        (("--ranges", "percentile", "--percentile", 20), ExitCode.USAGE, "percentile is 20"),
        (("--auto", 0), ExitCode.USAGE, "the bound of the error is 0"),
        (("--auto", "nan"), ExitCode.USAGE, "the bound of the error is nan"),
        (("--precision", "int4"), ExitCode.USAGE, "precision 'int4': use float16, bfloat16, int8, fp8"),
        (("--precision", "fp8", "--ranges", "mse"), ExitCode.USAGE, "use max or percentile for fp8"),
        (("--precision", "float16", "--ranges", "max"), ExitCode.USAGE, "a choice for int8 and fp8, not for float16"),
        (("--precision", "bfloat16", "--convolutions"), ExitCode.USAGE, "convolutions: a choice for int8 and fp8"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    words: tuple[object, ...], code: ExitCode, message: str, papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "made.bundle"
    cli("quantize", papr_bundle.path, "--data", clip, "-o", out, *words).assert_one_line_error(code, message)
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_none_is_refused(papr_bundle: Bundle, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "made.bundle"
    for words, why in (((), "range of int8"), (("--precision", "float16", "--auto", 0.1), "bound")):
        lacking = cli("quantize", papr_bundle.path, "-o", out, *words)
        lacking.assert_one_line_error(ExitCode.USAGE, f"a {why} takes data to measure on")
    idle = cli("quantize", papr_bundle.path, "-o", out, "--precision", "float16", "--data", tmp_path)
    idle.assert_one_line_error(ExitCode.USAGE, "float16 without a bound measures nothing: leave the data out")

    def refused(data: Path, *words: str) -> None:
        outcome = cli("quantize", papr_bundle.path, "--data", data, "-o", out)
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, *words)

    refused(tmp_path / "missing.mp4", "missing.mp4")
    short = write_clip(tmp_path / "short.mp4", frames=5, size=(64, 96))
    refused(short, "short.mp4 has 5 images, and to quantise a model takes at least 8")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is empty")
    (tmp_path / "text.mp4").write_text("no video")
    refused(tmp_path / "text.mp4", "text.mp4")
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_a_bundle_that_is_not_float32_is_refused(
    video8: Bundle, papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "again.bundle"
    again = cli("quantize", video8.path, "--data", clip, "-o", out)
    again.assert_one_line_error(ExitCode.USAGE, "is quantised already: give the float32 bundle")
    half = shutil.copytree(papr_bundle.path, tmp_path / "half.bundle")
    content = json.loads((half / "manifest.json").read_text()) | {"precision": "float16"}
    (half / "manifest.json").write_text(json.dumps(content))
    other = cli("quantize", half, "--data", clip, "-o", out)
    other.assert_one_line_error(ExitCode.USAGE, "is in float16: export it with --precision float32")
    within = cli("quantize", papr_bundle.path, "--data", clip, "-o", papr_bundle.path / "in.bundle")
    within.assert_one_line_error(ExitCode.USAGE, "lies in")
    assert not out.exists()


def test_nothing_that_is_read_is_written_over(papr_bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    """Also from Python, where no command looked first."""
    copy = Bundle.open(shutil.copytree(papr_bundle.path, tmp_path / "own.bundle"))
    before = sorted((path.name, path.read_bytes()) for path in copy.path.rglob("*.onnx"))
    options = vpp_deploy.QuantizeOptions(precision="float16")
    with pytest.raises(UsageError, match="would overwrite"):
        vpp_deploy.quantize(copy, None, copy.path, options, overwrite=True)
    assert sorted((path.name, path.read_bytes()) for path in copy.path.rglob("*.onnx")) == before


def test_plain_tensors_take_arrays(tmp_path: Path, cli: Cli) -> None:
    text = "g (float[2,2] x) => (float[2,2] y) {{ {} }}"
    product = text.format("w = Constant <value = float[2,2] {1.0, 2.0, 3.0, 4.0}> () y = MatMul (x, w)")
    bundle = make_tensors(tmp_path / "plain.bundle", product)
    array = np.random.default_rng(0).uniform(-1, 1, (9, 2, 2)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=array)
    made = tmp_path / "plain8.bundle"
    assert cli("quantize", bundle.path, "--data", tmp_path / "x.npz", "-o", made, "--ranges", "max").code == 0
    engine = vpp_deploy.build_engine(Bundle.open(made))
    outputs = vpp_deploy.open_session(engine)({"x": array[0]})
    np.testing.assert_allclose(outputs["y"], array[0] @ [[1, 2], [3, 4]], atol=0.06)
    np.savez(tmp_path / "other.npz", x=array[:, :1])
    other = cli("quantize", bundle.path, "--data", tmp_path / "other.npz", "-o", tmp_path / "no.bundle")
    other.assert_one_line_error(ExitCode.USAGE, "x is float32 [9, 1, 2]; it must be float32 [frames, 2, 2]")
    bare = make_tensors(tmp_path / "bare.bundle", text.format("y = Relu (x)"))
    nothing = cli("quantize", bare.path, "--data", tmp_path / "x.npz", "-o", tmp_path / "no.bundle")
    nothing.assert_one_line_error(ExitCode.USAGE, "there is nothing to quantise")
    assert not (tmp_path / "no.bundle").exists()


def test_fp8_runs_and_is_within_its_bar(papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli) -> None:
    made = tmp_path / "vit8.bundle"
    outcome = cli("quantize", papr_bundle.path, "--data", clip, "-o", made, "--frames", 8, "--precision", "fp8")
    assert outcome.code == 0, outcome.err
    facts = manifest_of(made)["quantization"]
    assert facts["ranges"] == "max"
    assert cli("build-engine", made).code == 0
    assert cli("parity", made, "--input", clip, "--frames", 2).code == 0
    assert "fp8" in cli("inspect", made).out


def test_float16_without_a_bound_is_what_an_export_makes(papr_bundle: Bundle, tmp_path: Path, cli: Cli) -> None:
    made = tmp_path / "half.bundle"
    assert cli("quantize", papr_bundle.path, "-o", made, "--precision", "float16").code == 0
    exported = reduced_bundle(papr_bundle, "float16", tmp_path / "exported.bundle")
    ours, theirs = (
        onnx.load(bundle.graph_path("model"), load_external_data=False).graph
        for bundle in (Bundle.open(made), exported)
    )
    assert [node.SerializeToString() for node in ours.node] == [node.SerializeToString() for node in theirs.node]
    again = cli("quantize", made, "-o", tmp_path / "again.bundle", "--precision", "bfloat16")
    again.assert_one_line_error(ExitCode.USAGE, "is quantised already")


def test_layers_that_float16_rounds_most_stay_float32(
    papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli
) -> None:
    words = ("quantize", papr_bundle.path, "--data", clip, "--frames", HELD_OUT, "--precision", "float16")
    whole, part = tmp_path / "whole.bundle", tmp_path / "part.bundle"
    assert cli(*words, "-o", whole, "--auto", "0.9").code == 0
    bound = search_of(whole)["error"] / 2
    assert cli(*words, "-o", part, "--auto", bound).code == 0
    facts = manifest_of(part)["quantization"]
    assert facts["ranges"] is None
    assert facts["search"]["error"] <= bound
    assert 0 < facts["products"]["model"] < manifest_of(whole)["quantization"]["products"]["model"]
    engine = vpp_deploy.build_engine(Bundle.open(part))
    assert engine.precision == "float16"


@needs_rtx
def test_tensorrt_reads_fp8_products(papr_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli) -> None:
    """NVIDIA's own parser, and the types of what each product multiplies."""
    import tensorrt_rtx as trt

    made = tmp_path / "vit8.bundle"
    words = ("quantize", papr_bundle.path, "--data", clip, "-o", made, "--frames", 8)
    for precision, kind in (("fp8", trt.DataType.FP8), ("int8", trt.DataType.INT8)):
        assert cli(*words, "--precision", precision, "--overwrite").code == 0
        bundle = Bundle.open(made)
        with lowered_graph(bundle, "model", tmp_path, "tensorrt") as path:
            counts = quantised_products(path)
        facts = bundle.manifest.quantization
        assert facts is not None
        assert counts[kind] == facts.products["model"]


def quantised_products(path: Path) -> Counter[Any]:
    """How many matrix products of a parsed network multiply two dequantised tensors, by the type they had."""
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), [parser.get_error(number) for number in range(parser.num_errors)]
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    makers = {layer.get_output(number).name: layer for layer in layers for number in range(layer.num_outputs)}

    def type_before(tensor: Any) -> Any:
        maker = makers.get(tensor.name)
        while maker is not None and maker.type == trt.LayerType.SHUFFLE:
            maker = makers.get(maker.get_input(0).name)
        is_rounded = maker is not None and maker.type == trt.LayerType.DEQUANTIZE
        return maker.get_input(0).dtype if is_rounded else None

    products = [layer for layer in layers if layer.type == trt.LayerType.MATRIX_MULTIPLY]
    types = [{type_before(product.get_input(number)) for number in (0, 1)} for product in products]
    return Counter(next(iter(found)) for found in types if len(found) == 1)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_tensorrt_rtx_builds_a_quantised_step(
    video8: Bundle, micro_bundle: Bundle, clip: Path, tmp_path: Path, cli: Cli, precision: str
) -> None:
    bundle = video8
    if precision == "fp8":
        made = tmp_path / "fp8.bundle"
        words = ("--data", clip, "-o", made, "--frames", 8, "--precision", "fp8")
        assert cli("quantize", micro_bundle.path, *words).code == 0
        bundle = Bundle.open(made)
    facts = bundle.manifest.quantization
    assert facts is not None
    with lowered_graph(bundle, "step", tmp_path, "tensorrt") as path:
        counts = {kind.name.lower(): count for kind, count in quantised_products(path).items() if kind is not None}
        build_tensorrt_engine(path, tmp_path / "engine", backend="tensorrt-rtx", options=FOR_ADA)
    assert counts == {precision: facts.products["step"]}
    assert (tmp_path / "engine").stat().st_size > 0


def test_what_is_damaged_tells_to_quantise_again(tmp_path: Path, cli: Cli) -> None:
    text = "g (float[1,1] x) => (float[1,1] y) { w = Constant <value = float[1,1] {2.0}> () y = MatMul (x, w) }"
    bundle, made = make_tensors(tmp_path / "plain.bundle", text), tmp_path / "half.bundle"
    assert cli("quantize", bundle.path, "-o", made, "--precision", "float16").code == 0
    whole = {path.name: path.read_bytes() for path in made.iterdir()}
    content = json.loads(whole["manifest.json"])
    damaged = {
        "model.onnx": b"cut",
        "weights.safetensors": b"",
        "manifest.json": json.dumps(content | {"precision": 3}).encode(),
    }
    for name, bad in damaged.items():
        (made / name).write_bytes(bad)
        outcome = cli("infer", made, tmp_path / "x.npz")
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, "quantise the float32 bundle again (vpp-deploy quantize)")
        (made / name).write_bytes(whole[name])
    (made / "manifest.json").write_bytes(whole["manifest.json"][:-9])
    outcome = cli("infer", made, tmp_path / "x.npz")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "export or quantise the bundle again")
