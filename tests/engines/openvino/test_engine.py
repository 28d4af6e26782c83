"""OpenVINO engines: what they compute, their streams, their options, and what is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import openvino
import pytest

import vpp_deploy
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.conftest import REPOSITORY, torch_on_one_thread
from tests.engines.openvino.engine_files import replace_file
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import load_engine
from vpp_deploy.engines.denormals import controlled
from vpp_deploy.engines.openvino import models
from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions
from vpp_deploy.engines.protocols import Engine, EngineStream
from vpp_deploy.errors import BuildError, DeviceError, ExitCode, IncompatibleEngineError, UsageError

TINY = REPOSITORY / "tests" / "bundle" / "data" / "v3-vpp"
Frames = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def bundle(micro_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With an engine of each kind. Shared: do not write to it."""
    copy = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path_factory.mktemp("openvino") / "micro.bundle"))
    vpp_deploy.build_engine(copy, "openvino")
    return copy


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return load_engine(bundle, "openvino", threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a few nodes with an engine. Shared: do not write to it."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny.bundle"
    made = Bundle.open(shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("engines")))
    vpp_deploy.build_engine(made, "openvino")
    return made


@pytest.fixture
def damaged(tiny: Bundle, tmp_path: Path) -> Bundle:
    """A copy to damage."""
    return Bundle.open(shutil.copytree(tiny.path, tmp_path / "tiny.bundle"))


def frames(bundle: Bundle, seed: int, count: int = 3) -> Frames:
    """Inputs of some frames, of the step graph, which takes those of the first frame too."""
    rng = np.random.default_rng(seed)
    specs = bundle.manifest.graphs[bundle.manifest.roles[-1]].inputs
    return [
        {
            spec.name: rng.integers(0, 256, spec.shape).astype(np.uint8)
            if spec.dtype == "uint8"
            else np.zeros(spec.shape, spec.dtype)
            for spec in specs
        }
        for _ in range(count)
    ]


def run_all(stream: EngineStream, inputs: Frames) -> Frames:
    return [stream.run(frame) for frame in inputs]


def test_it_computes_in_float32_what_onnx_runtime_computes(bundle: Bundle, engine: Engine) -> None:
    """On processors that have bfloat16 OpenVINO would take that, and be a hundred times as far off."""
    inputs = frames(bundle, 0)
    other = load_engine(bundle, "onnxruntime", threads=1)
    for ours, theirs in zip(run_all(engine.open_stream(), inputs), run_all(other.open_stream(), inputs), strict=True):
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            if array.dtype == np.float32:
                np.testing.assert_allclose(ours[name], array, atol=2e-4, rtol=1e-3, err_msg=name)
            else:
                np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_streams_on_several_threads_give_the_bits_of_one(bundle: Bundle, engine: Engine) -> None:
    videos = [frames(bundle, seed) for seed in range(4)]
    alone = [run_all(engine.open_stream(), video) for video in videos]
    with ThreadPoolExecutor(len(videos)) as pool:
        together = list(pool.map(lambda video: run_all(engine.open_stream(), video), videos))
    for expected, found in zip(chain(*alone), chain(*together), strict=True):
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.skipif(not controlled(), reason="denormals are left as they are here")
def test_loading_and_running_leave_the_calling_thread_its_denormals(tiny: Bundle) -> None:
    """OpenVINO turns them off there, for good."""
    run_all(load_engine(tiny, "openvino", threads=1).open_stream(), frames(tiny, 0, 2))
    assert np.float32(2.0**-126) * np.float32(0.5) == 2.0**-127


def test_outputs_and_state_are_not_written_to_again(bundle: Bundle, engine: Engine) -> None:
    stream, other = engine.open_stream(), engine.open_stream()
    inputs = frames(bundle, 1)
    outputs, snapshot = stream.run(inputs[0]), stream.snapshot()
    kept = {name: array.copy() for name, array in (outputs | dict(snapshot.tensors)).items()}
    for frame in inputs:
        stream.run(frame)
        other.run(frame)
    for name, array in (outputs | dict(snapshot.tensors)).items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    other.restore(snapshot)
    stream.restore(snapshot)
    again = stream.run(inputs[1])
    for name, array in other.run(inputs[1]).items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_every_command_takes_it(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:  # noqa: F811
    clip = write_clip(tmp_path / "clip.mp4", frames=3, size=(60, 90))
    path, results = bundle.path, tmp_path / "results.jsonl"
    on = ("--engine", "openvino")
    with torch_on_one_thread():
        outcomes = [
            cli("build-engine", path, *on),
            cli("infer", path, clip, *on, "--threads", 1, "--device", "CPU", "--json", results),
            cli("parity", path, "--input", clip, "--frames", 2, *on),
            cli("inspect", path),
            cli("doctor"),
        ]
    assert [outcome.code for outcome in outcomes] == [0] * 5, [outcome.err for outcome in outcomes]
    built, _, compared, inspected, doctor = (outcome.out for outcome in outcomes)
    assert "up to date" in built
    assert len(results.read_text().splitlines()) == 3
    assert "Parity: passed" in compared
    assert "fits this machine" in inspected.partition("openvino")[2]
    assert "openvino" in doctor


def test_threads_are_those_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "available_processors", lambda: 8)
    for threads, expected in ((None, 8), (3, 3), (20, 20)):
        assert models.settings(OpenVinoLoadOptions(threads=threads))["INFERENCE_NUM_THREADS"] == expected
    assert "INFERENCE_NUM_THREADS" not in models.settings(OpenVinoLoadOptions(device="GPU"))


def test_options_that_cannot_be_met(tiny: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"finds no device 'GPU.7' here; it has .*CPU"):
        load_engine(tiny, "openvino", device="GPU.7")
    with pytest.raises(UsageError, match="threads is 2 for the device 'GPU'; leave it out"):
        load_engine(tiny, "openvino", device="GPU", threads=2)
    with pytest.raises(UsageError, match="threads is 0"):
        load_engine(tiny, "openvino", threads=0)


def of_another_type(text: str) -> str:
    return text.replace('element_type="u8"', 'element_type="f32"', 1)


def of_another_shape(text: str) -> str:
    return re.sub(r'(type="Parameter".*?shape=")[^"]*', r"\g<1>7,7,3", text, count=1, flags=re.DOTALL)


def of_unknown_shape(text: str) -> str:
    return re.sub(r'(type="Parameter".*?shape=")[^"]*', r"\g<1>?,?,3", text, count=1, flags=re.DOTALL)


def of_another_name(text: str) -> str:
    return re.sub(r'(type="Parameter".*?names=")[^"]*', r"\g<1>stranger", text, count=1, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "OpenVINO .* cannot load"),
        (lambda text: text[: len(text) // 2], "OpenVINO .* cannot load"),
        (lambda text: "version https://git-lfs.github.com/spec/v1\n", "OpenVINO .* cannot load"),
        (lambda text: text.replace('type="Result"', 'type="Assign"'), "cannot load|which no build writes"),
        (of_another_type, "manifest says|OpenVINO .* cannot load"),
        (of_another_shape, "manifest says|OpenVINO .* cannot load"),
        (of_unknown_shape, "whose shape is not static|OpenVINO .* cannot load"),
        (of_another_name, "the manifest says"),
    ],
    ids=["nothing", "half", "text", "memory", "type", "shape", "unknown shape", "name"],
)
def test_damaged_layers_are_refused(damaged: Bundle, change: Callable[[str], str], words: str) -> None:
    path = damaged.path / "engines" / "openvino" / "init.xml"
    text = path.read_text()
    assert change(text) != text
    replace_file(damaged, path.name, change(text).encode())
    with pytest.raises(IncompatibleEngineError, match=words) as caught:
        load_engine(damaged, "openvino")
    assert str(caught.value).endswith("--engine openvino")
    assert "\n" not in str(caught.value)


def test_weights_that_end_early_are_refused(damaged: Bundle) -> None:
    replace_file(damaged, "step.bin", b"")
    with pytest.raises(IncompatibleEngineError, match=r"OpenVINO .* cannot load the engine file .*step\.xml"):
        load_engine(damaged, "openvino")


def test_a_file_that_the_record_does_not_list_is_refused(damaged: Bundle) -> None:
    replace_file(damaged, "step.bin", None)
    with pytest.raises(IncompatibleEngineError, match=r"has no step\.bin in its record"):
        load_engine(damaged, "openvino")


def test_layers_that_take_too_much_memory_are_refused(tiny: Bundle) -> None:
    """The manifest's own claims are smaller: what lies between inputs and outputs counts."""
    claims = max(claim.nbytes for claim in tiny.manifest.memory_claims())
    with pytest.raises(IncompatibleEngineError, match=r"xml would take .* of memory, more than the"):
        load_engine(Bundle.open(tiny.path, max_memory=claims), "openvino")


def test_an_engine_of_another_version_is_refused(damaged: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpp_deploy.engines.backend.Backend.required_version", lambda backend: "2099.1.0")
    with pytest.raises(IncompatibleEngineError, match=r"this machine has 2099\.1\.0"):
        load_engine(damaged, "openvino")


def test_a_graph_that_openvino_refuses(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(BuildError, match=r"^OpenVINO [\d.]+ cannot build a graph: ") as caught:
        models.store(tmp_path / "bad.onnx", tmp_path / "bad.xml", "a graph")
    assert "\n" not in str(caught.value)
    assert "Exception from" not in str(caught.value)


def test_an_openvino_that_does_not_load_is_a_problem(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def fail() -> None:
        raise RuntimeError("no plugins\nat all")

    monkeypatch.setattr(openvino, "Core", fail)
    assert "openvino does not load (no plugins at all); run: pip install" in cli("doctor", "--json").out
    assert cli("doctor").code == ExitCode.OK
