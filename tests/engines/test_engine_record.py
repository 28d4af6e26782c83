"""Engines carry a fingerprint: what does not fit is refused with a reason and the command that rebuilds it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest

import vpp_deploy
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import TensorRtBuildOptions, backend
from vpp_deploy.engines.engine_record import read_record
from vpp_deploy.engines.onnxruntime import engine as onnxruntime_engine
from vpp_deploy.errors import BuildError, DependencyError, IncompatibleEngineError, UsageError

BACKEND = "onnxruntime"


@pytest.fixture
def bundle(micro_bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(micro_bundle.path, tmp_path / "copy.bundle"))


def change_record(bundle: Bundle, **changes: object) -> None:
    path = bundle.engine_folder(BACKEND) / "engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(bundle: Bundle, backend: str = BACKEND) -> str:
    with pytest.raises(IncompatibleEngineError) as caught:
        vpp_deploy.load_engine(bundle, backend)
    message = str(caught.value)
    assert "\n" not in message
    assert f"vpp-deploy build-engine {bundle.path} --engine {backend}" in message
    return message


def test_a_fitting_engine_loads(bundle: Bundle) -> None:
    engine = vpp_deploy.load_engine(bundle)
    assert (engine.backend, engine.precision, engine.frame_size) == (BACKEND, "float32", bundle.manifest.frame_size)
    record = read_record(bundle, BACKEND, onnxruntime.__version__)
    assert set(record.files) == {"init.onnx", "step.onnx", "weights.safetensors"}


def test_no_engine(bundle: Bundle) -> None:
    shutil.rmtree(bundle.path / "engines")
    assert "has no onnxruntime engine" in refused(bundle)


def test_another_graph(bundle: Bundle) -> None:
    change_record(bundle, source={"init.onnx": "0" * 64, "step.onnx": "0" * 64, "weights.safetensors": "0" * 64})
    assert "built from another weights.safetensors (000000000000, now " in refused(bundle)


def test_another_version(bundle: Bundle) -> None:
    change_record(bundle, backend_version="1.2.3")
    assert f"built by version 1.2.3, this machine has {onnxruntime.__version__}" in refused(bundle)


def test_another_machine(bundle: Bundle) -> None:
    change_record(bundle, machine="vax")
    assert "built for vax" in refused(bundle)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json"])
def test_a_damaged_record(bundle: Bundle, content: bytes) -> None:
    (bundle.engine_folder(BACKEND) / "engine.json").write_bytes(content)
    assert "cannot be read" in refused(bundle)


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_damaged_file(bundle: Bundle, damage: str) -> None:
    path = bundle.engine_folder(BACKEND) / "step.onnx"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "its file step.onnx is missing or was altered" in refused(bundle)


def test_a_failed_build_keeps_the_old_engine(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BuildError("no")

    monkeypatch.setattr(onnxruntime_engine, "_optimise", fail)
    before = sorted(path.name for path in (bundle.path / "engines").rglob("*"))
    with pytest.raises(BuildError):
        vpp_deploy.build_engine(bundle, force=True)
    assert sorted(path.name for path in (bundle.path / "engines").rglob("*")) == before
    vpp_deploy.load_engine(bundle)


def test_rebuilding_replaces(bundle: Bundle) -> None:
    change_record(bundle, backend_version="1.2.3")
    vpp_deploy.build_engine(bundle)
    assert [path.name for path in (bundle.path / "engines").iterdir()] == [BACKEND]


def test_unknown_backends_and_options(bundle: Bundle) -> None:
    for act in (vpp_deploy.build_engine, vpp_deploy.load_engine):
        with pytest.raises(UsageError, match="unknown engine 'openvino'"):
            act(bundle, "openvino")
    with pytest.raises(
        UsageError, match="compute capabilities: for tensorrt and tensorrt-rtx, not for onnxruntime; leave it out"
    ):
        vpp_deploy.build_engine(bundle, options=TensorRtBuildOptions(compute_capabilities=("8.9",)))


def test_a_tensorrt_rtx_engine_builds_without_what_it_needs_to_run(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    engine = vpp_deploy.build_engine(bundle, "tensorrt-rtx", TensorRtBuildOptions(compute_capabilities=("8.9",)))
    assert engine.record.compute_capabilities == ("8.9",)
    assert set(engine.record.files) == {"init.engine", "step.engine"}
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(DependencyError, match=r"pycuda is not installed.*vpp-deploy\[tensorrt\]"):
        engine.open_stream()


def test_a_missing_builder_names_its_extra(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise backend.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(backend.metadata, "version", missing)
    with pytest.raises(DependencyError, match=r"pip install vpp-deploy\[rtx\]"):
        vpp_deploy.build_engine(bundle, "tensorrt-rtx")
