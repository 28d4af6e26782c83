"""The C++ library builds without warnings, passes its own tests, installs, and says what it lacks."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cpp.conftest import MISSING_JSON, SOURCE, configure
from tests.cpp.runtime import Runtime

PROJECT = """
cmake_minimum_required(VERSION 3.21)
project(user LANGUAGES CXX)
find_package(vpp_runtime 0.2 REQUIRED)
add_executable(user user.cpp)
target_link_libraries(user PRIVATE LIBRARY)
"""


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install_and_build(runtime: Runtime, folder: Path, program: str, library: str) -> None:
    """Install the library under a folder, and build a user's program there."""
    if "VPP_RUNTIME_SANITIZE:BOOL=ON" in (runtime.build / "CMakeCache.txt").read_text():
        pytest.skip("users install the other build")
    run("cmake", "--install", runtime.build, "--prefix", folder / "installed")
    (folder / "user.cpp").write_text(program)
    (folder / "CMakeLists.txt").write_text(PROJECT.replace("LIBRARY", library))
    run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={folder / 'installed'}")
    run("cmake", "--build", folder / "build")


def test_its_own_tests_pass(runtime: Runtime) -> None:
    assert "100% tests passed" in run("ctest", "--test-dir", runtime.build, "--output-on-failure")


def test_a_program_uses_the_installed_library(runtime: Runtime, tmp_path: Path) -> None:
    program = (SOURCE / "README.md").read_text().split("```cpp\n")[1].partition("```")[0]
    install_and_build(runtime, tmp_path, program, "vpp::vpp_runtime")
    done = subprocess.run([tmp_path / "build" / "user", "nothing"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("bundle nothing does not exist: give the folder")


def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if MISSING_JSON in line]
    assert "apt-get install nlohmann-json3-dev" in line


def test_hashes_are_those_of_hashlib(runtime: Runtime, tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(3_000_000)
    paths = []
    for length in [*range(140), 3_000_000]:
        paths.append(tmp_path / str(length))
        paths[-1].write_bytes(data[:length])
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert runtime.run("sha256", [{"path": str(path)} for path in paths]) == expected
