from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.engines.records import store
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE
from vpp_deploy.engines.engine_record import EngineRecord, source_hashes
from vpp_deploy.errors import ExitCode

ENGINE = Path("engines") / "onnxruntime"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def without_weights(bundle: Path) -> None:
    (bundle / "weights.safetensors").unlink()


def with_altered_graph(bundle: Path) -> None:
    data = bytearray((bundle / "step.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "step.onnx").write_bytes(data)


def of_newer_schema(bundle: Path) -> None:
    edit(bundle / "manifest.json", lambda manifest: manifest.update(schema_version=99))


def that_escapes(bundle: Path) -> None:
    shutil.copy(bundle / "weights.safetensors", bundle.parent / "outside")

    def point_outside(manifest: dict[str, Any]) -> None:
        manifest["files"]["../outside"] = manifest["files"][manifest["weights_file"]]
        manifest["weights_file"] = "../outside"

    edit(bundle / "manifest.json", point_outside)


def without_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


def with_half_a_manifest(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize("command", ["inspect", "build-engine", "infer", "parity"])
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (without_weights, "missing"),
        (with_altered_graph, "altered"),
        (of_newer_schema, "schema version 99"),
        (that_escapes, "outside the folder"),
        (without_manifest, "has no manifest.json"),
        (with_half_a_manifest, "not JSON"),
    ],
)
def test_a_damaged_bundle(
    damage: Callable[[Path], None], word: str, command: str, cli: Cli, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    damage(bundle)
    before = set(tmp_path.rglob("*"))
    more = {"infer": [clip, "-o", tmp_path / "x.mp4"], "parity": ["--video", clip]}.get(command, [])
    cli(command, bundle, *more).assert_one_line_error(ExitCode.BAD_INPUT, word)
    assert set(tmp_path.rglob("*")) == before


def test_a_bundle_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    cli("inspect", tmp_path / "none").assert_one_line_error(ExitCode.BAD_INPUT, "does not exist")


def of_another_graph(record: dict[str, Any]) -> None:
    record["source"]["step.onnx"] = "0" * 64


def of_another_version(record: dict[str, Any]) -> None:
    record["backend_version"] = "0.0.1"


def of_another_machine(record: dict[str, Any]) -> None:
    record["machine"] = "vax"


@pytest.mark.parametrize("command", ["infer", "parity"])
@pytest.mark.parametrize(
    ("change", "word"),
    [(of_another_graph, "another step.onnx"), (of_another_version, "0.0.1"), (of_another_machine, "vax")],
)
def test_an_engine_that_does_not_fit_names_the_command_that_rebuilds_it(
    change: Callable[[dict[str, Any]], None], word: str, command: str, cli: Cli, bundle: Path, clip: Path
) -> None:
    edit(bundle / ENGINE / ENGINE_RECORD_FILE, change)
    rebuild = f"vpp-deploy build-engine {bundle} --engine onnxruntime"
    video = ["--video", clip] if command == "parity" else [clip]
    cli(command, bundle, *video).assert_one_line_error(ExitCode.INCOMPATIBLE, word, rebuild)
    shown = cli("inspect", bundle)
    assert shown.code == 0
    assert "does not fit" in shown.out
    assert word in shown.out


def test_no_engine_yet_names_the_command_that_builds_it(cli: Cli, bundle: Path, clip: Path) -> None:
    shutil.rmtree(bundle / "engines")
    build = f"vpp-deploy build-engine {bundle} --engine onnxruntime"
    cli("infer", bundle, clip).assert_one_line_error(ExitCode.INCOMPATIBLE, "no onnxruntime engine", build)
    assert "none yet" in cli("inspect", bundle).out


@pytest.mark.parametrize("command", ["infer", "parity", "build-engine"])
def test_an_unknown_engine(command: str, cli: Cli, bundle: Path, clip: Path) -> None:
    extra: dict[str, list[Path | str]] = {"infer": [clip], "parity": ["--video", clip]}
    more = extra.get(command, [])
    outcome = cli(command, bundle, *more, "--engine", "abacus")
    names = "onnxruntime, onnxruntime-cuda, openvino, tensorrt-rtx, tensorrt"
    outcome.assert_one_line_error(ExitCode.USAGE, "abacus", names)


def test_compute_capabilities_are_for_rtx_alone(cli: Cli, bundle: Path) -> None:
    outcome = cli("build-engine", bundle, "--compute-capability", "8.9")
    outcome.assert_one_line_error(ExitCode.USAGE, "tensorrt-rtx")


def test_what_a_tensorrt_rtx_engine_lacks_to_infer_is_named(cli: Cli, bundle: Path, clip: Path) -> None:
    """Of the builder's package, pycuda and a GPU the first that is not there; one of them is missing in CI."""
    try:
        version = metadata.version("tensorrt-rtx")
    except metadata.PackageNotFoundError:
        version = "0"
    record = EngineRecord(
        backend="tensorrt-rtx",
        backend_version=version,
        precision="float32",
        source=source_hashes(Bundle.open(bundle)),
        files={},
    )
    store(bundle / "engines" / "tensorrt-rtx", record)
    missing = "tensorrt-rtx" if version == "0" else "NVIDIA"
    cli("infer", bundle, clip, "--engine", "tensorrt-rtx").assert_one_line_error(ExitCode.MISSING, missing)


def test_build_engine_says_what_it_built(cli: Cli, bundle: Path) -> None:
    shutil.rmtree(bundle / "engines")
    outcome = cli("build-engine", bundle)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"onnxruntime {metadata.version('onnxruntime')} engine, float32" in outcome.out
    assert "next: vpp-deploy infer" in outcome.out
    assert (bundle / ENGINE / ENGINE_RECORD_FILE).is_file()
