"""Engines carry a fingerprint: what does not fit is refused with a reason and the command that rebuilds it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest

import vpp_deploy
from vpp_deploy.bundle import Bundle, sha256_of_bytes
from vpp_deploy.engines import TensorRtBuildOptions, backend
from vpp_deploy.engines.engine_record import no_engine, read_record
from vpp_deploy.engines.onnxruntime import engine as onnxruntime_engine
from vpp_deploy.errors import BuildError, DependencyError, IncompatibleEngineError, OutputError, UsageError

BACKEND = "onnxruntime"


@pytest.fixture
def bundle(few_nodes: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(few_nodes.path, tmp_path / "copy.bundle"))


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
    assert "has no onnxruntime engine; build it with: vpp-deploy build-engine " in refused(bundle)
    for name in ("openvino", "tensorrt"):
        (bundle.path / "engines" / name).mkdir(parents=True)
    assert "has no onnxruntime engine; build it with: " in refused(bundle)  # folders that nothing is in
    for name in ("openvino", "tensorrt"):
        (bundle.path / "engines" / name / "engine.json").write_text("{}")
    has = "has no onnxruntime engine; use openvino or tensorrt, which it has (--engine openvino)"
    assert f"{has}, or build it with: " in refused(bundle)
    manifest = bundle.manifest.model_copy(update={"precision": "bfloat16"})
    assert str(no_engine(Bundle(bundle.path, manifest), BACKEND)).endswith(has)
    shutil.rmtree(bundle.path / "engines")
    advice = (
        f"onnxruntime lacks bfloat16, build another one with: vpp-deploy build-engine {bundle.path} --engine openvino"
    )
    assert str(no_engine(Bundle(bundle.path, manifest), BACKEND)).endswith(advice)


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


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", "is missing"),
        ("altered", "was altered"),
        ("fifo", "is missing"),
        ("link", "by a link"),
        ("own", "is a link"),
    ],
)
def test_a_damaged_file(bundle: Bundle, damage: str, words: str) -> None:
    """A link is refused even if what it leads to is the right file: somebody else may own it."""
    path = bundle.engine_folder(BACKEND) / "step.onnx"
    content = path.read_bytes()
    path.unlink()
    match damage:
        case "altered":
            path.write_bytes(content[:-1] + b"x")
        case "fifo":
            os.mkfifo(path)
        case "link" | "own":
            target = path.with_name("other") if damage == "own" else bundle.path.parent / "other"
            target.write_bytes(content)
            path.symlink_to(target)
    message = refused(bundle)
    assert "its file 'step.onnx' " in message
    assert words in message


def test_an_engine_without_hashes(bundle: Bundle) -> None:
    """No file is loaded that has none: neither if the record lists no file, nor if it lists another one."""
    change_record(bundle, files={})
    assert "its record lists no files" in refused(bundle)
    folder = bundle.engine_folder(BACKEND)
    weights = (folder / "weights.safetensors").read_bytes()
    change_record(bundle, files={"weights.safetensors": {"bytes": len(weights), "sha256": sha256_of_bytes(weights)}})
    assert "has no init.onnx in its record" in refused(bundle)


@pytest.mark.parametrize("name", ["../../step.onnx", "/etc/hostname", "a/../../x"])
def test_a_name_in_a_record_that_leads_elsewhere(bundle: Bundle, name: str) -> None:
    change_record(bundle, files={name: {"bytes": 1, "sha256": "0" * 64}})
    assert "lies outside the folder" in refused(bundle)


@pytest.mark.parametrize("place", ["engines", "engines/onnxruntime", "engines/onnxruntime/engine.json"])
def test_an_engine_that_is_reached_through_a_link(bundle: Bundle, place: str) -> None:
    """Its record is not read, so that no foreign file is shown, and it is not replaced."""
    moved = bundle.path.parent / "moved"
    (bundle.path / place).rename(moved)
    (bundle.path / place).symlink_to(moved)
    before = {path: path.read_bytes() for path in sorted(bundle.path.parent.rglob("*")) if path.is_file()}
    assert "it is a link, or reached through one" in refused(bundle)
    if not place.endswith(".json"):
        with pytest.raises(OutputError, match="by a link"):
            vpp_deploy.build_engine(bundle)
        assert {path: path.read_bytes() for path in sorted(bundle.path.parent.rglob("*")) if path.is_file()} == before


def test_a_record_that_is_no_file(bundle: Bundle) -> None:
    path = bundle.engine_folder(BACKEND) / "engine.json"
    path.unlink()
    os.mkfifo(path)
    assert "it is not a regular file" in refused(bundle)
    path.unlink()
    path.touch()
    os.truncate(path, 5_000_000_000)
    assert "the most that is read is 64 MB" in refused(bundle)


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
        with pytest.raises(UsageError, match="unknown engine 'abacus'"):
            act(bundle, "abacus")
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
    for module in ("cuda.bindings", "pycuda"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r"neither cuda-bindings nor pycuda .*: pip install cuda-bindings"):
        engine.open_stream()


def test_a_missing_builder_names_its_extra(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise backend.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(backend.metadata, "version", missing)
    with pytest.raises(DependencyError, match=r"pip install vpp-deploy\[rtx\]"):
        vpp_deploy.build_engine(bundle, "tensorrt-rtx")
