"""The C++ library accepts and refuses engine records like the Python package, and reads headers of engine files."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.conftest import REPOSITORY
from tests.cpp.runtime import Runtime
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.engine_record import VERSION_COMPATIBLE, EngineRecord, engine_writer, read_record, source_hashes
from vpp_deploy.errors import IncompatibleEngineError

BACKEND, VERSION = "tensorrt-rtx", "1.7.1.116"
Change = Callable[[Path, dict[str, Any]], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with an engine for compute capability 8.9."""
    bundle = make_bundle(tmp_path / "tiny.bundle")
    with engine_writer(bundle, BACKEND) as (folder, finish):
        (folder / "init.engine").write_bytes(b"init")
        (folder / "step.engine").write_bytes(b"step")
        finish(
            EngineRecord(
                backend=BACKEND,
                backend_version=VERSION,
                precision=bundle.manifest.precision,
                compute_capabilities=("8.9",),
                source=source_hashes(bundle),
                files={},
                details={"init": {"layers": 3}},
            )
        )
    return bundle


def cpp_reads(runtime: Runtime, bundle: Bundle, version: str = VERSION, **host: str) -> dict[str, Any]:
    result: dict[str, Any]
    (result,) = runtime.run("engine", [{"path": str(bundle.path), "backend": BACKEND, "version": version} | host])
    if "error" in result:
        assert result["error"] == "EngineError"
        assert "\n" not in result["message"]
        assert f"vpp-deploy build-engine {bundle.path} --engine {BACKEND}" in result["message"]
    return result


def test_a_fitting_engine(runtime: Runtime, bundle: Bundle) -> None:
    expected = json.loads(read_record(bundle, BACKEND, VERSION).model_dump_json(exclude={"details"}))
    assert cpp_reads(runtime, bundle) == expected
    assert cpp_reads(runtime, bundle, compute_capability="8.9") == expected
    assert cpp_reads(runtime, bundle, version="1.7.1") == expected


@pytest.mark.parametrize("name", ["v1-vpp", "v2-vpp", "v3-vpp"])
def test_engines_in_bundles_of_every_schema_version(runtime: Runtime, name: str) -> None:
    bundle = Bundle.open(REPOSITORY / "tests" / "bundle" / "data" / name)
    stored = EngineRecord.read(bundle.engine_folder("onnxruntime"))
    case = {"path": str(bundle.path), "backend": stored.backend, "version": stored.backend_version}
    (ours,) = runtime.run("engine", [case])
    if stored.machine == platform.machine():
        assert ours == json.loads(stored.model_dump_json(exclude={"details"}))
    else:
        assert f"it was built for {stored.machine}, this machine is {platform.machine()}" in ours["message"]


@pytest.mark.parametrize("version", ["1.7.10", "1.7.1.11", "", "1.7.1.116.1"])
def test_another_version(runtime: Runtime, bundle: Bundle, version: str) -> None:
    message = cpp_reads(runtime, bundle, version=version)["message"]
    assert f"built by version {VERSION}, this machine has {version}" in message


@pytest.mark.parametrize(
    "version",
    [VERSION, "1.7.1.117", "1.7.2.1", "1.8.0.0", "1.7.1.115", "1.7.0.999", "1.6.9.9", "2.7.1.116", "0.9", "x"],
)
def test_a_version_compatible_engine_runs_on_later_minor_versions(
    runtime: Runtime, bundle: Bundle, version: str
) -> None:
    path = bundle.engine_folder(BACKEND) / "engine.json"
    record = json.loads(path.read_text()) | {"options": {VERSION_COMPATIBLE: "yes"}}
    path.write_text(json.dumps(record))
    refused = "error" in cpp_reads(runtime, bundle, version=version)
    try:
        read_record(bundle, BACKEND, version)
    except IncompatibleEngineError:
        assert refused
    else:
        assert not refused


def test_another_gpu(runtime: Runtime, bundle: Bundle) -> None:
    message = cpp_reads(runtime, bundle, compute_capability="12.0")["message"]
    assert "built for compute capability 8.9, this GPU has 12.0" in message


def remove(name: str) -> Change:
    return lambda folder, record: record.pop(name)


def put(**fields: object) -> Change:
    return lambda folder, record: record.update(fields)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put(details={}), ""),
        (put(options={"gpu": "any"}), ""),
        (put(options={"gpu": 3}), "options.gpu: should be a string, got 3"),
        (put(machine=platform.machine()), ""),
        (put(compute_capabilities=[]), ""),
        (remove("compute_capabilities"), ""),
        (put(machine="vax"), "it was built for vax, this machine is"),
        (put(backend_version="9"), "it was built by version 9, this machine has"),
        (put(source={}), "it was built from another weights.safetensors (none, now "),
        (lambda folder, record: record["source"].update({"init.onnx": "0" * 64}), "from another init.onnx (0000000"),
        (lambda folder, record: (folder / "step.engine").unlink(), "its file step.engine is missing"),
        (lambda folder, record: (folder / "step.engine").write_bytes(b"stop"), "its file step.engine was altered"),
        (lambda folder, record: (folder / "step.engine").write_bytes(b""), "its file step.engine has 0 bytes"),
        (remove("files"), "files: field is missing"),
        (remove("source"), "source: field is missing"),
        (put(files={"a": {"bytes": -1, "sha256": ""}}), "files.a.bytes: should be at least 0, got -1"),
        (put(source={"a": 1}), "source.a: should be a string, got 1"),
        (put(precision=None), "precision: should be a string"),
        (put(surprise=1), "surprise: is not a field of the schema"),
        (put(details=[]), "details: should be an object"),
        (put(precision="float16"), "its precision is 'float16', the bundle's is float32"),
        (put(backend="tensorrt"), "its record is of 'tensorrt'"),
        (put(files={}), "its record lists no files"),
        (put(files={"../secret": {"bytes": 0, "sha256": "0" * 64}}), "its file ../secret lies outside the folder"),
    ],
)
def test_a_record(runtime: Runtime, bundle: Bundle, change: Change, expected: str) -> None:
    folder = bundle.engine_folder(BACKEND)
    record = json.loads((folder / "engine.json").read_text())
    change(folder, record)
    (folder / "engine.json").write_text(json.dumps(record))
    message = cpp_reads(runtime, bundle).get("message", "")
    if not expected:
        assert message == ""
        read_record(bundle, BACKEND, VERSION)
        return
    assert expected in message
    with pytest.raises(IncompatibleEngineError):
        read_record(bundle, BACKEND, VERSION)


@pytest.mark.parametrize(
    "place", ["engines", "engines/tensorrt-rtx", "engines/tensorrt-rtx/engine.json", "step.engine"]
)
def test_an_engine_that_is_reached_through_a_link(runtime: Runtime, bundle: Bundle, place: str, tmp_path: Path) -> None:
    path = bundle.engine_folder(BACKEND) / place if place == "step.engine" else bundle.path / place
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert "link" in cpp_reads(runtime, bundle)["message"]
    with pytest.raises(IncompatibleEngineError, match="link"):
        read_record(bundle, BACKEND, VERSION)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff", None])
def test_a_damaged_record(runtime: Runtime, bundle: Bundle, content: bytes | None) -> None:
    path = bundle.engine_folder(BACKEND) / "engine.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    expected = "engine.json cannot be used (" if content is not None else f"has no {BACKEND} engine"
    assert expected in cpp_reads(runtime, bundle)["message"]


def test_a_plan_that_fits_and_one_that_was_cut_off(runtime: Runtime, tmp_path: Path) -> None:
    plan = bytearray(200)
    plan[0:4], plan[24:28] = (0x74727466).to_bytes(4, "little"), bytes([10, 13, 3, 9])
    (tmp_path / "whole.engine").write_bytes(plan)
    (tmp_path / "cut.engine").write_bytes(plan[:20])
    host = {"backend": "tensorrt", "version": "10.13.3.9"}
    cases = [{"path": str(tmp_path / name)} | host for name in ("whole.engine", "cut.engine")]
    whole, cut = runtime.run("plan", cases)
    assert whole == {"backend": "tensorrt", "version": "10.13.3.9", "hint": None}
    assert (cut["backend"], cut["version"]) == (None, None)
    assert cut["hint"].startswith("cut.engine does not begin like a TensorRT engine")
