"""The TensorRT engine and `vpp_infer`, as far as that goes without a GPU: a fake of TensorRT's library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.cpp.conftest import SOURCE, TENSORRT_HEADERS
from tests.cpp.runtime import Runtime
from tests.cpp.test_plugin_library import make_library
from tests.cpp.test_runtime import install_and_build
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.engine_record import VERSION_COMPATIBLE, EngineRecord, engine_writer, source_hashes
from vpp_deploy.engines.tensorrt.engine import HOST_CODE_VARIABLE
from vpp_deploy.engines.tensorrt.plugin_library import PATH_VARIABLE, PLUGINS
from vpp_deploy.errors import ExitCode

FAKE = """
#include <stdio.h>
__attribute__((constructor)) static void opened(void) { fclose(fopen("%(marker)s", "w")); }
int getInferLibMajorVersion(void) { return %(major)d; }
int getInferLibMinorVersion(void) { return 1; }
int getInferLibPatchVersion(void) { return 0; }
int getInferLibBuildVersion(void) { return 106; }
void* createInferRuntime_INTERNAL(void* logger, int version) { return (void*)0; }
"""
pytestmark = pytest.mark.skipif(
    not TENSORRT_HEADERS, reason="vpp_infer is built where TENSORRT_INCLUDE_DIR names the folder of TensorRT's headers"
)


def major() -> int:
    """Of the headers."""
    text = (Path(TENSORRT_HEADERS or "") / "NvInferVersion.h").read_text()
    found = re.search(r"#define (?:TRT_MAJOR_ENTERPRISE|NV_TENSORRT_MAJOR) (\d+)", text)
    assert found is not None
    return int(found[1])


@dataclass(frozen=True)
class FakeTensorRt:
    """A library with a few of TensorRT's functions, which leaves a mark when it is opened."""

    path: Path
    marker: Path

    @classmethod
    def compile(cls, folder: Path, of_major: int) -> FakeTensorRt:
        fake = cls(folder / f"libfake{of_major}.so", folder / "opened")
        source = folder / "fake.c"
        source.write_text(FAKE % {"marker": fake.marker, "major": of_major})
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        assert compiler is not None
        subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", fake.path, source], check=True)
        return fake


@pytest.fixture
def fake(tmp_path: Path) -> FakeTensorRt:
    return FakeTensorRt.compile(tmp_path, major())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with an engine that no TensorRT would take."""
    return with_engine(make_bundle(tmp_path / "tiny.bundle"))


def with_engine(bundle: Bundle, **fields: Any) -> Bundle:
    with engine_writer(bundle, "tensorrt") as (folder, finish):
        for phase in bundle.manifest.roles:
            (folder / f"{phase}.engine").write_text(phase)
        settings = {"backend": "tensorrt", "backend_version": f"{major()}.1.0.106", "precision": "float32"}
        finish(EngineRecord(**(settings | fields), source=source_hashes(bundle), files={}))
    return bundle


def infer(runtime: Runtime, *arguments: object) -> tuple[int, str]:
    """Exit code and the line on standard error."""
    program = runtime.build / "tools" / "vpp_infer"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, input="")
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_the_help_page_names_every_option(runtime: Runtime) -> None:
    done = subprocess.run([runtime.build / "tools" / "vpp_infer", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: vpp_infer BUNDLE")
    options = set(re.findall(r'"(--[a-z-]+)"', (SOURCE / "tools" / "arguments.cpp").read_text()))
    assert len(options) == 8
    assert all(option in done.stdout for option in options)


def test_a_command_line_that_makes_no_sense(runtime: Runtime) -> None:
    assert infer(runtime, "tiny.bundle", "--size", "big") == (
        ExitCode.USAGE,
        "error: --size 'big' is not HEIGHTxWIDTH in pixels, such as 720x1280 (see vpp_infer --help)",
    )


def test_no_bundle(runtime: Runtime) -> None:
    code, line = infer(runtime, "nothing", "--size", "4x4")
    assert code == ExitCode.BAD_INPUT
    assert line.startswith("error: bundle nothing does not exist")


def test_no_engine(runtime: Runtime, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle")
    code, line = infer(runtime, bundle.path, "--size", "4x4")
    assert code == ExitCode.INCOMPATIBLE
    assert f"has no tensorrt engine; build it with: vpp-deploy build-engine {bundle.path} --engine tensorrt" in line


def test_tensorrt_is_missing(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", tmp_path / "none.so")
    assert code == ExitCode.MISSING
    assert re.search(rf"TensorRT does not load \(.*none\.so.*\); install TensorRT {major()}", line)


def test_something_that_is_not_tensorrt(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing;")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True)
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", tmp_path / "empty.so")
    assert code == ExitCode.MISSING
    assert "empty.so has no function getInferLibMajorVersion" in line


def test_another_major_version(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    fake = FakeTensorRt.compile(tmp_path, major() - 1)
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.MISSING
    assert f"is of TensorRT {major() - 1}, this program needs {major()}" in line


def test_an_engine_of_another_version(runtime: Runtime, bundle: Bundle, fake: FakeTensorRt) -> None:
    with_engine(bundle, backend_version=f"{major()}.0.0.1")
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.INCOMPATIBLE
    assert f"it was built by version {major()}.0.0.1, this machine has {major()}.1.0.106" in line
    assert fake.marker.exists()


def test_a_version_compatible_engine_has_to_be_trusted(
    runtime: Runtime, bundle: Bundle, fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_engine(bundle, backend_version=f"{major()}.0.0.1", options={VERSION_COMPATIBLE: "yes"})
    monkeypatch.delenv(HOST_CODE_VARIABLE, raising=False)
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.INCOMPATIBLE
    assert f"if you trust where it comes from: export {HOST_CODE_VARIABLE}=1" in line
    assert not fake.marker.exists()
    monkeypatch.setenv(HOST_CODE_VARIABLE, "1")
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.MISSING


def test_neither_a_gpu_nor_a_runtime(runtime: Runtime, bundle: Bundle, fake: FakeTensorRt) -> None:
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.MISSING
    assert re.search(r"error: (GPU 0 cannot be used \(.+\); is there an NVIDIA driver\?|.+ makes no runtime)", line)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "its file step.engine was altered"),
        ({"backend_version": "8.6.1"}, "it was built by version 8.6.1, this machine has"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused_before_a_library_is_opened(
    runtime: Runtime, bundle: Bundle, fake: FakeTensorRt, fields: dict[str, str], expected: str
) -> None:
    with_engine(bundle, **fields)
    if not fields:
        (bundle.engine_folder("tensorrt") / "step.engine").write_text("stop")
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.INCOMPATIBLE
    assert expected in line
    assert not fake.marker.exists()


def test_an_engine_file_that_the_record_does_not_list(runtime: Runtime, bundle: Bundle, fake: FakeTensorRt) -> None:
    path = bundle.engine_folder("tensorrt") / "engine.json"
    record = json.loads(path.read_text())
    del record["files"]["init.engine"]
    path.write_text(json.dumps(record))
    code, line = infer(runtime, bundle.path, "--size", "4x4", "--tensorrt-library", fake.path)
    assert code == ExitCode.INCOMPATIBLE
    assert "lists no init.engine; build it with: " in line
    assert not fake.marker.exists()


def test_another_plugin_library_is_refused_before_a_library_is_opened(
    runtime: Runtime, bundle: Bundle, fake: FakeTensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    right, wrong = make_library(tmp_path / "right.so"), make_library(tmp_path / "wrong.so", filling=b"bad")
    with_engine(bundle, details=PLUGINS.to_details(right))
    words = [bundle.path, "--size", "4x4", "--tensorrt-library", fake.path]
    code, line = infer(runtime, *words)
    assert code == ExitCode.PLUGIN
    assert f"${PATH_VARIABLE} is not set" in line
    code, line = infer(runtime, *words, "--plugin-library", wrong.path)
    assert code == ExitCode.PLUGIN
    assert f"found another: {wrong.path}" in line
    assert not fake.marker.exists()
    code, _ = infer(runtime, *words, "--plugin-library", right.path)
    assert code == ExitCode.MISSING
    assert fake.marker.exists()


def test_a_program_uses_the_installed_engine(runtime: Runtime, tmp_path: Path) -> None:
    program = (SOURCE / "README.md").read_text().split("```cpp\n")[2].partition("```")[0]
    install_and_build(runtime, tmp_path, program, "vpp::vpp_engine")
    done = subprocess.run([tmp_path / "build" / "user", "nothing"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("bundle nothing does not exist: give the folder")
