"""The C++ library finds the plugin library that an engine was built with where the Python package finds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.cpp.runtime import Runtime
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer, source_hashes
from vpp_deploy.engines.tensorrt.plugin_library import LIBRARY_FILE, PATH_VARIABLE, PLUGINS, PluginLibrary
from vpp_deploy.errors import IncompatibleEngineError, PluginError

BUILD = "vpp-deploy build-engine small.bundle --engine tensorrt"
VERSION = "11.1.0.106"


def make_library(path: Path, version: str = "0.1.0", filling: bytes = b"code") -> PluginLibrary:
    """A file that looks like a plugin library from outside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF" + filling + b"vpp_plugins_version=!" + f"vpp_plugins_version={version}\0".encode())
    return PluginLibrary.read(path)


def cpp_finds(runtime: Runtime, library: PluginLibrary, given: Path | None) -> Any:
    case = {"record": library.record.model_dump(), "given": given and str(given), "build_command": BUILD}
    (found,) = runtime.run("plugins", [case])
    return found


def python_finds(library: PluginLibrary, given: Path | None) -> Path | str:
    """The library, or why there is none."""
    try:
        found = PLUGINS.of_engine(PLUGINS.to_details(library), given, BUILD)
    except PluginError as error:
        return str(error)
    assert found is not None
    return found.path


def agree(runtime: Runtime, library: PluginLibrary, given: Path | None = None) -> str:
    """The path that both find, or the message of the C++ library where both find none."""
    ours, theirs = cpp_finds(runtime, library, given), python_finds(library, given)
    if isinstance(theirs, Path):
        assert Path(ours) == theirs.absolute()
        return str(ours)
    assert ours["error"] == "PluginError"
    assert "\n" not in ours["message"]
    assert ours["message"].partition(";")[0] == theirs.partition(";")[0]
    return str(ours["message"])


def test_a_file_or_a_folder_that_is_given(runtime: Runtime, tmp_path: Path) -> None:
    library = make_library(tmp_path / LIBRARY_FILE)
    assert agree(runtime, library, tmp_path) == str(library.path)
    assert agree(runtime, library, library.path) == str(library.path)


def test_the_environment_variable(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = make_library(tmp_path / "right" / LIBRARY_FILE)
    make_library(tmp_path / "wrong" / LIBRARY_FILE, filling=b"other")
    monkeypatch.setenv(PATH_VARIABLE, f":{tmp_path / 'none'}:{tmp_path / 'wrong'}:{tmp_path / 'right'}")
    assert agree(runtime, library) == str(library.path)
    assert f"looked at {tmp_path / 'none'};" in agree(runtime, library, tmp_path / "none")
    monkeypatch.delenv(PATH_VARIABLE)
    message = agree(runtime, library)
    assert f"sha256 {library.sha256[:12]}…; ${PATH_VARIABLE} is not set; say where it is with: export" in message
    assert f"{BUILD} --plugins none" in message


def test_another_library(runtime: Runtime, tmp_path: Path) -> None:
    library = make_library(tmp_path / "right" / LIBRARY_FILE)
    other = make_library(tmp_path / "wrong" / "other.so", version="0.2.0")
    message = agree(runtime, library, other.path)
    assert f"found another: {other.path} (version 0.2.0, sha256 {other.sha256[:12]}…); give the right one" in message


@pytest.mark.parametrize(
    "content", [b"", b"vpp_plugins_version=0.1.0\0", b"\x7fELF", b"\x7fELF vpp_plugins_version=\0"]
)
def test_something_else(runtime: Runtime, tmp_path: Path, content: bytes) -> None:
    library = make_library(tmp_path / LIBRARY_FILE)
    (tmp_path / "other.so").write_bytes(content)
    assert "other.so is not a plugin library of vpp-deploy" in agree(runtime, library, tmp_path / "other.so")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda plugins: None, ""),
        (lambda plugins: plugins.pop("sha256"), "details.plugins.sha256: field is missing"),
        (lambda plugins: plugins.update(more=1), "details.plugins.more: is not a field of the schema"),
        (lambda plugins: plugins.update(file=3), "details.plugins.file: should be a string, got 3"),
    ],
)
def test_the_record_of_an_engine_with_plugins(
    runtime: Runtime, tmp_path: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    library = make_library(tmp_path / LIBRARY_FILE)
    bundle = make_bundle(tmp_path / "tiny.bundle")
    details = {"init": {"layers": 3}} | PLUGINS.to_details(library)
    with engine_writer(bundle, "tensorrt") as (folder, finish):
        source = source_hashes(bundle)
        for role in bundle.manifest.roles:
            (folder / f"{role}.engine").write_bytes(role.encode())
        finish(
            EngineRecord(
                backend="tensorrt",
                backend_version=VERSION,
                precision="float32",
                source=source,
                files={},
                details=details,
            )
        )
    path = bundle.engine_folder("tensorrt") / "engine.json"
    record = json.loads(path.read_text())
    change(record["details"]["plugins"])
    path.write_text(json.dumps(record))
    (ours,) = runtime.run("engine", [{"path": str(bundle.path), "backend": "tensorrt", "version": VERSION}])
    if not expected:
        assert ours["plugins"] == library.record.model_dump()
        return
    assert ours["error"] == "EngineError"
    assert expected in ours["message"]
    with pytest.raises(IncompatibleEngineError):
        PLUGINS.of_engine(record["details"], None, BUILD)
