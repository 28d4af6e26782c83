"""The CUDA kernels compile cleanly for every architecture, and their host tests pass; nothing here needs a GPU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PLUGINS = REPOSITORY / "plugins"
ARCHITECTURES = (80, 86, 89, 90, 120)
SOURCES = sorted((PLUGINS / "kernels").glob("*.cu"))


def run(*command: str | Path) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def nvcc() -> str:
    in_toolkit = Path(os.environ.get("CUDA_HOME", "")) / "bin" / "nvcc"
    found = shutil.which("nvcc") or shutil.which(in_toolkit)
    if found is None:
        pytest.skip("no nvcc in PATH or CUDA_HOME")
    return found


@pytest.fixture(scope="module")
def host_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the test programs that need no CUDA."""
    for tool in ("cmake", "ctest", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} in PATH")
    folder = tmp_path_factory.mktemp("plugins")
    run("cmake", "-S", PLUGINS, "-B", folder, "-DVPP_CUDA=OFF")
    run("cmake", "--build", folder)
    return folder


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_kernels_compile_without_warnings_or_spills(nvcc: str, source: Path, tmp_path: Path) -> None:
    """To machine code of every architecture that this nvcc knows, and to PTX of the first."""
    strict = ("-Werror", "all-warnings", "-Xptxas", "-warn-spills")
    known = run(nvcc, "--list-gpu-code").split()
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in ARCHITECTURES if f"sm_{number}" in known]
    assert codes
    codes.append(f"-gencode=arch=compute_{ARCHITECTURES[0]},code=compute_{ARCHITECTURES[0]}")
    run(nvcc, "-std=c++17", "--threads", "2", *codes, *strict, "-fatbin", "-o", tmp_path / "kernel.fatbin", source)
    assert (tmp_path / "kernel.fatbin").stat().st_size > 0


KNOWN = {  # what `nvcc --list-gpu-arch` prints
    "12.0": "50 52 53 60 61 62 70 72 75 80 86 87 89 90",
    "12.8": "50 52 53 60 61 62 70 72 75 80 86 87 89 90 100 101 120",
    "13.0": "75 80 86 87 88 89 90 100 110 103 120 121",
}


def default_architectures(compiler: Path | str) -> subprocess.CompletedProcess[str]:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake in PATH")
    script = PLUGINS / "architectures.cmake"
    return subprocess.run(
        ["cmake", f"-DCMAKE_CUDA_COMPILER={compiler}", "-P", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("version", "expected"), [("12.0", "80;86;89;90"), ("12.8", "80;86;89;90;120"), ("13.0", "80;86;89;90;120")]
)
def test_the_default_architectures_are_those_that_nvcc_knows(version: str, expected: str, tmp_path: Path) -> None:
    compiler = tmp_path / "nvcc"
    listed = "\n".join(f"echo compute_{number}" for number in KNOWN[version].split())
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --list-gpu-arch ] || exit 1\n{listed}\n')
    compiler.chmod(0o755)
    assert default_architectures(compiler).stderr.strip() == expected


def test_the_nvcc_that_is_here_knows_its_default_architectures(nvcc: str) -> None:
    known = set(run(nvcc, "--list-gpu-code").split())
    chosen = default_architectures(nvcc).stderr.strip().split(";")
    assert {f"sm_{number}" for number in chosen} == {f"sm_{number}" for number in ARCHITECTURES} & known


@pytest.mark.parametrize("listed", ["exit 1", "echo compute_75"])
def test_an_nvcc_that_is_too_old_is_named(listed: str, tmp_path: Path) -> None:
    compiler = tmp_path / "nvcc"
    compiler.write_text(f"#!/bin/sh\n{listed}\n")
    compiler.chmod(0o755)
    done = default_architectures(compiler)
    assert done.returncode != 0
    assert "does not list GPU architectures" in " ".join(done.stderr.split())


def test_gpu_tests_compile(nvcc: str, tmp_path: Path) -> None:
    source = PLUGINS / "tests" / "kernel_tests.cu"
    run(nvcc, "-std=c++17", "-arch=sm_80", "-Werror", "all-warnings", "-c", "-o", tmp_path / "tests.o", source)


def test_ptx_has_the_documented_embedded_entries(nvcc: str, tmp_path: Path) -> None:
    table = (PLUGINS / "kernels" / "embedded.cuh").read_text()
    documented = set(re.findall(r"^// (vpp_\w+)  ", table, re.MULTILINE))
    assert len(documented) == 10
    ptx = tmp_path / "embedded.ptx"
    run(nvcc, "-std=c++17", "-arch=compute_80", "-ptx", "-o", ptx, PLUGINS / "kernels" / "embedded.cu")
    assert set(re.findall(r"\.visible \.entry (\w+)\(", ptx.read_text())) == documented


@pytest.mark.parametrize(
    "name",
    [
        "vpp_reference_tests",
        "vpp_emulated_tests_descending",
        pytest.param("vpp_emulated_tests_ascending", marks=pytest.mark.slow),
        pytest.param("vpp_emulated_tests_interleaved", marks=pytest.mark.slow),
    ],
)
def test_host_tests_pass(host_tests: Path, name: str) -> None:
    report = run("ctest", "--test-dir", host_tests, "--output-on-failure", "-R", f"^{name}$")
    assert "100% tests passed, 0 tests failed out of 1" in report
