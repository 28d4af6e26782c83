"""What `pip install vpp-deploy[…]` brings: one ONNX Runtime or none, and nothing that has to be compiled."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tools.lower_bounds import requirements

RUNTIMES = {"onnxruntime", "onnxruntime-gpu"}
"""Two distributions of the same files: with both, the one that was installed last counts."""
FROM_NVIDIA = {"tensorrt", "tensorrt-rtx"}
"""On the package index these are sources, which bring wheels from an index of NVIDIA's own."""
EXTRAS = (
    "batch",
    "cpu",
    "evaluate",
    "export",
    "gpu",
    "heif",
    "metrics",
    "openvino",
    "ray",
    "report",
    "rtx",
    "s3",
    "tensorrt",
)


def names(found: list[Requirement]) -> set[str]:
    return {canonicalize_name(one.name) for one in found}


def test_every_extra_is_tried() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    declared = {line.partition(" = [")[0] for line in section.splitlines() if " = [" in line}
    assert declared == {*EXTRAS, "dev"}


@pytest.mark.parametrize("chosen", [*combinations(EXTRAS, 1), ("export", "rtx", "cpu"), ("export", "tensorrt", "gpu")])
def test_no_extra_brings_an_onnx_runtime_but_the_one_that_was_asked_for(chosen: tuple[str, ...]) -> None:
    expected = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}
    assert names(requirements(chosen)) & RUNTIMES == {expected[extra] for extra in chosen if extra in expected}


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [*combinations(EXTRAS, 1), ("export", "gpu")], ids=",".join)
def test_pip_resolves_it_from_wheels_alone(chosen: tuple[str, ...]) -> None:
    """As in a new environment."""
    wanted = [str(one) for one in requirements(chosen) if one.name not in FROM_NVIDIA]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "--ignore-installed"]
    quiet = ["--quiet", "--only-binary", ":all:", "--retries", "1", "--report", "-"]
    done = subprocess.run([*pip, *quiet, *wanted], capture_output=True, text=True)
    if "Could not fetch URL" in done.stderr or "Temporary failure in name resolution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    found = {canonicalize_name(one["metadata"]["name"]) for one in json.loads(done.stdout)["install"]}
    assert names(requirements(chosen)) - FROM_NVIDIA <= found
    assert found & RUNTIMES == names(requirements(chosen)) & RUNTIMES
    if "gpu" in chosen:  # so that a machine needs a driver only
        assert any(name.startswith("nvidia-cudnn") for name in found)
        assert any(name.startswith("nvidia-cublas") for name in found)
