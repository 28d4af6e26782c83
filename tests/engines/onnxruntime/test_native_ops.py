"""Engines with native ops: built, run, checked, and refused with a reason where their library is not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import vpp_deploy
from tests.cli.conftest import Cli
from vpp_deploy import ops
from vpp_deploy._version import __version__
from vpp_deploy.bundle import Bundle, sha256_of_file
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE
from vpp_deploy.cli.environment import examine
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.onnxruntime.native_library import LIBRARY_FILE, NATIVE_OPS, PATH_VARIABLE, NativeLibrary
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import ExitCode, IncompatibleEngineError, PluginError, UsageError

BUILD = "vpp-deploy build-engine b --engine onnxruntime"
GAIN = "deformable attention would be several times as fast"


def lookalike(path: Path, version: str = __version__, content: bytes = b"") -> Path:
    """What a look into the file takes for a library; the dynamic linker does not."""
    path.write_bytes(b"\x7fELF" + content + b"vpp_onnxruntime_ops_version=" + version.encode() + b"\0")
    return path


@pytest.fixture(scope="module")
def native_bundle(micro_bundle: Bundle, native_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose engine has native ops. Shared: do not write to it."""
    bundle = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path_factory.mktemp("native") / "native.bundle"))
    vpp_deploy.build_engine(bundle, native_library=native_library)
    return bundle


@pytest.fixture
def own(native_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle of one's own with native ops."""
    return Path(shutil.copytree(native_bundle.path, tmp_path / "own.bundle", dirs_exist_ok=True))


def record_of(bundle: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((bundle / "engines" / "onnxruntime" / ENGINE_RECORD_FILE).read_text())
    return record


def change_record(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = record_of(bundle)
    change(record)
    (bundle / "engines" / "onnxruntime" / ENGINE_RECORD_FILE).write_text(json.dumps(record))


def native_nodes(model: Path) -> int:
    nodes = onnx.load(model, load_external_data=False).graph.node
    return sum((node.domain, node.op_type) == ("vpp", "DeformableAttention") for node in nodes)


def test_the_nodes_stay_and_all_others_are_lowered(micro_bundle: Bundle) -> None:
    model = onnx.load(micro_bundle.graph_path("step"), load_external_data=False)
    lowered = ops.lower(model, "onnxruntime", plugins="native")
    kept = [node.op_type for node in lowered.graph.node if node.domain == ops.DOMAIN]
    assert kept == [node.op_type for node in ops.vpp_nodes(model) if node.op_type == "DeformableAttention"] != []
    assert {node.domain for node in lowered.graph.node} == {"", ops.DOMAIN}
    assert not lowered.functions


def test_the_engine_holds_and_records_the_native_ops(native_bundle: Bundle, native_library: Path) -> None:
    record = record_of(native_bundle.path)
    library = NativeLibrary.read(native_library)
    assert library.version == __version__
    assert record["options"] == {"native ops": f"sha256 {sha256_of_file(native_library)}"}
    expected = {"file": LIBRARY_FILE, "sha256": library.sha256, "version": library.version}
    assert record["details"]["native_ops"] == expected
    for role, count in record["details"]["native_nodes"].items():
        folder = native_bundle.engine_folder("onnxruntime")
        assert native_nodes(folder / f"{role}.onnx") == native_nodes(native_bundle.graph_path(role)) == count > 0


def test_the_same_comes_out_and_parity_passes(
    micro_bundle: Bundle, native_bundle: Bundle, native_library: Path, own: Path, cli: Cli, clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    got = first_outputs(vpp_deploy.load_engine(native_bundle, threads=1, native_library=native_library))
    expected = first_outputs(vpp_deploy.load_engine(micro_bundle, threads=1))
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join(["/nowhere", str(native_library.parent)]))
    outcome = cli("parity", own, "--input", clip, "--frames", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert "passed" in outcome.out
    assert cli("inspect", own).code == 0


def first_outputs(engine: Engine) -> dict[str, np.ndarray]:
    """What the init graph gives for a picture."""
    (picture,) = render_clip("val", 0, 0, frames=1, size=engine.frame_size).frames
    return engine.open_stream().run({"frame": picture, "content_size": np.array(engine.frame_size, np.int32)})


def test_without_a_library_everything_is_as_before_and_one_line_tells(
    cli: Cli, bundle: Path, native_library: Path
) -> None:
    outcome = cli("build-engine", bundle)
    assert (outcome.code, outcome.err) == (0, "")
    assert "up to date" in outcome.out or "built in" in outcome.out
    built = cli("build-engine", bundle, "--force")
    assert built.out.replace("\n", " ").count(GAIN) == 1
    assert record_of(bundle)["options"] == {}
    assert GAIN not in cli("build-engine", bundle, "--native-ops", "none").out.replace("\n", " ")
    folder = bundle / "engines" / "onnxruntime"
    assert native_nodes(folder / "step.onnx") == 0


def test_another_library_builds_the_engine_again(
    cli: Cli, own: Path, native_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(native_library))
    assert "up to date" in cli("build-engine", own).out
    other = tmp_path / "other.so"
    other.write_bytes(native_library.read_bytes() + b"another build")
    outcome = cli("build-engine", own, "--native-library", other, "--explain-cache")
    assert (outcome.code, outcome.err) == (0, "")
    assert "native ops" in outcome.out
    assert "built in" in outcome.out
    with pytest.raises(PluginError, match="found another"):
        vpp_deploy.load_engine(Bundle.open(own))
    assert "built in" in cli("build-engine", own, "--native-ops", "none").out
    monkeypatch.delenv(PATH_VARIABLE)
    vpp_deploy.load_engine(Bundle.open(own))


def test_how_to_run_it_is_said_where_only_the_build_knows(cli: Cli, own: Path, native_library: Path) -> None:
    outcome = cli("build-engine", own, "--native-library", native_library)
    assert f"export {PATH_VARIABLE}={native_library}" in outcome.out.replace("\n", "")


def test_a_classifier_has_nothing_to_gain(
    cli: Cli, papr_bundle: Bundle, native_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(papr_bundle.path, tmp_path / "papr.bundle")
    assert GAIN not in cli("build-engine", own, "--force").out.replace("\n", " ")
    monkeypatch.setenv(PATH_VARIABLE, str(native_library))
    assert "up to date" in cli("build-engine", own).out
    outcome = cli("build-engine", own, "--native-library", native_library)
    outcome.assert_one_line_error(ExitCode.USAGE, "has no node for the native ops", "leave the library out")


def damaged(folder: Path, kind: str) -> Path:
    """Something in the place of a library."""
    path = folder / "library.so"
    match kind:
        case "text":
            path.write_text("no library")
        case "empty":
            path.touch()
        case "a FIFO":
            os.mkfifo(path)
        case "another version":
            lookalike(path, "9.9")
        case "no code":
            lookalike(path)
        case _:
            assert kind == "missing"
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no library of native ops: looked at"),
        ("text", "is not a library of native ops"),
        ("empty", "is not a library of native ops"),
        ("a FIFO", "it is not a regular file"),
        ("another version", f"is of version 9.9, this vpp-deploy is {__version__}"),
        ("no code", "cannot load the library of native ops"),
    ],
)
def test_what_is_no_library_is_refused_and_nothing_is_built(
    kind: str, words: str, cli: Cli, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damaged(tmp_path, kind)
    before = sorted(bundle.rglob("*")), record_of(bundle)
    cli("build-engine", bundle, "--force", "--native-library", path).assert_one_line_error(
        ExitCode.PLUGIN, words, str(path)
    )
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    cli("build-engine", bundle, "--force").assert_one_line_error(ExitCode.PLUGIN, words, str(path))
    assert (sorted(bundle.rglob("*")), record_of(bundle)) == before
    doctor = examine()
    usable = kind == "no code"  # which only loading it tells
    assert (doctor.backends["onnxruntime"].plugins == ("native",)) == usable
    assert any(words in problem for problem in doctor.problems) != usable


@pytest.mark.parametrize("kind", ["not named", "missing", "text", "another version", "no code"])
def test_an_engine_whose_library_is_not_there_is_refused(
    kind: str, cli: Cli, own: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "not named":
        monkeypatch.setenv(PATH_VARIABLE, str(damaged(tmp_path, kind)))
    outcome = cli("infer", own, clip)
    if kind == "text":
        outcome.assert_one_line_error(ExitCode.PLUGIN, "is not a library of native ops")
        return
    needs = f"the engine needs the library of native ops that it was built with, {LIBRARY_FILE} version {__version__}"
    outcome.assert_one_line_error(ExitCode.PLUGIN, needs, f"build-engine {own} --engine onnxruntime --native-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--native-ops", "all"], "native ops 'all': use auto or none"),
        (["--native-ops", "none", "--native-library", "x"], "contradict each other"),
        (["--engine", "onnxruntime-cuda", "--native-ops", "none"], "for onnxruntime, not for onnxruntime-cuda"),
    ],
)
def test_options_that_make_no_sense_are_refused(cli: Cli, micro_bundle: Bundle, words: list[str], message: str) -> None:
    cli("build-engine", micro_bundle.path, *words).assert_one_line_error(ExitCode.USAGE, message)


def test_a_record_that_lies_is_refused(own: Path, native_library: Path) -> None:
    """A bundle cannot make an engine's own ops run, nor hide that it has some."""
    with pytest.raises(IncompatibleEngineError, match="record of its library of native ops is damaged"):
        NATIVE_OPS.of_engine({"native_ops": {"file": "x"}}, native_library, BUILD)
    change_record(own, lambda record: record["details"].pop("native_ops"))
    with pytest.raises(IncompatibleEngineError, match="vpp::DeformableAttention', which no build writes"):
        vpp_deploy.load_engine(Bundle.open(own), native_library=native_library)


def test_a_node_that_the_library_does_not_have_is_refused(own: Path, native_library: Path) -> None:
    path = own / "engines" / "onnxruntime" / "step.onnx"
    model = onnx.load(path, load_external_data=False)
    next(node for node in model.graph.node if node.domain == "vpp").op_type = "SelectTokens"
    onnx.save(model, path)
    stored = {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
    change_record(own, lambda record: record["files"].update({"step.onnx": stored}))
    with pytest.raises(IncompatibleEngineError, match="SelectTokens"):
        vpp_deploy.load_engine(Bundle.open(own), native_library=native_library)


def test_python_callers_name_the_library_too(own: Path, native_library: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(own)
    engine = vpp_deploy.load_engine(bundle, native_library=native_library.parent, threads=1)
    assert engine.open_stream()
    with pytest.raises(PluginError, match="looked at"):
        vpp_deploy.load_engine(bundle, native_library=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="native ops: for onnxruntime"):
        vpp_deploy.build_engine(bundle, "onnxruntime-cuda", native_ops="none")
