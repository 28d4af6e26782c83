"""Builds the library of native ops once.

With ONNX Runtime's headers, in the folder that the environment variable ONNXRUNTIME_INCLUDE_DIR names, what the library
declares of its interface is checked against them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest

from tests.cli.conftest import bundle as bundle
from tests.cli.conftest import cli as cli
from tests.cli.conftest import clip as clip
from tests.conftest import REPOSITORY, folder_of_all
from vpp_deploy.engines.onnxruntime.native_library import LIBRARY_FILE, PATH_VARIABLE

HEADERS = os.environ.get("ONNXRUNTIME_INCLUDE_DIR")


@pytest.fixture(autouse=True)
def _no_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def native_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the build, where the tests of the library can be built too."""
    if not shutil.which("cmake"):
        pytest.skip("the library of native ops is built with cmake, which is not installed")
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("the library of native ops needs a C++ compiler, and none is installed")
    build = folder_of_all(tmp_path_factory) / "native_ops"
    options = ["-DVPP_ONNXRUNTIME_OPS_TESTS=ON", *([f"-DONNXRUNTIME_INCLUDE_DIR={HEADERS}"] if HEADERS else [])]
    with filelock.FileLock(build.with_suffix(".lock")):
        for command in (
            ["cmake", "-S", REPOSITORY / "cpp" / "onnxruntime_ops", "-B", build, *options],
            ["cmake", "--build", build, "--target", "vpp_onnxruntime_ops", "--parallel", "2"],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    return build


@pytest.fixture(scope="session")
def native_library(native_build: Path) -> Path:
    return native_build / LIBRARY_FILE
