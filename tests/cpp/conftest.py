"""Builds the C++ library once, as users build it and with sanitizers.

With TensorRT's headers, in the folder that the environment variable TENSORRT_INCLUDE_DIR names, the engine part and
`vpp_infer` are built too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest

from tests.conftest import REPOSITORY, folder_of_all
from tests.cpp.runtime import Runtime

SOURCE = REPOSITORY / "cpp"
MISSING_JSON = "nlohmann/json is missing"
TENSORRT_HEADERS = os.environ.get("TENSORRT_INCLUDE_DIR")


def configure(build: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run CMake's first step."""
    if not shutil.which("cmake"):
        pytest.skip("the C++ library is built with cmake, which is not installed")
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("the C++ library needs a C++ compiler, and none is installed")
    return subprocess.run(["cmake", "-S", SOURCE, "-B", build, *options], capture_output=True, text=True)


@pytest.fixture(scope="session", params=["release", pytest.param("sanitized", marks=pytest.mark.slow)])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Built once, by the first of the processes that test at the same time."""
    build = folder_of_all(tmp_path_factory) / f"cpp_{request.param}"
    with filelock.FileLock(build.with_suffix(".lock")):
        if not (build / "complete").exists():
            make(build, request.param)
            (build / "complete").touch()
    return Runtime(build)


def make(build: Path, kind: str) -> None:
    """Configure and compile the library and its tests."""
    sanitize = ["-DVPP_RUNTIME_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=Debug"] if kind == "sanitized" else []
    engine = [f"-DTENSORRT_INCLUDE_DIR={TENSORRT_HEADERS}"] if TENSORRT_HEADERS else []
    done = configure(build, "-DVPP_RUNTIME_WARNINGS_AS_ERRORS=ON", *sanitize, *engine)
    if MISSING_JSON in done.stderr:
        pytest.skip("the C++ library needs nlohmann/json: apt-get install nlohmann-json3-dev")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["cmake", "--build", build, "--parallel", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
