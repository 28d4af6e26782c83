"""What `pip install vpp-deploy[…]` brings: one ONNX Runtime or none, and nothing that has to be compiled."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tests.media.clips import write_clip
from tools.lower_bounds import requirements
from vpp_deploy.bundle import Bundle

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


def in_readme() -> list[tuple[str, ...]]:
    """The extras of each `pip install` that README tells a user."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [tuple(found.split(",")) for found in dict.fromkeys(re.findall(r"pip install '\.\[([a-z0-9,]+)\]'", text))]


def test_readme_names_extras_that_there_are_and_that_go_together() -> None:
    assert {("cpu",), ("gpu",), ("cpu", "export")} <= set(in_readme())
    for chosen in in_readme():
        assert {*chosen} <= {*EXTRAS}
        assert len(names(requirements(chosen)) & RUNTIMES) <= 1


SEVERAL = [chosen for chosen in [*in_readme(), ("export", "gpu")] if len(chosen) > 1]


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [*combinations(EXTRAS, 1), *SEVERAL], ids=",".join)
def test_pip_resolves_it_from_wheels_alone(chosen: tuple[str, ...]) -> None:
    """As in a new environment."""
    found = resolved([str(one) for one in requirements(chosen) if one.name not in FROM_NVIDIA])
    assert names(requirements(chosen)) - FROM_NVIDIA <= found
    assert found & RUNTIMES == names(requirements(chosen)) & RUNTIMES
    if "gpu" in chosen:  # so that a machine needs a driver only
        assert any(name.startswith("nvidia-cudnn") for name in found)
        assert any(name.startswith("nvidia-cublas") for name in found)


def test_pip_finds_what_cpu_adds() -> None:
    """The cheap part of the test above, for every run."""
    core = {str(one) for one in requirements(())}
    added = [str(one) for one in requirements(("cpu",)) if str(one) not in core]
    assert resolved(added) & RUNTIMES == {"onnxruntime"}


def resolved(wanted: list[str]) -> set[str]:
    """Names of what pip would install, from wheels alone."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "--ignore-installed"]
    quiet = ["--quiet", "--only-binary", ":all:", "--retries", "1", "--report", "-"]
    done = subprocess.run([*pip, *quiet, *wanted], capture_output=True, text=True)
    skip_without_index(done.stderr)
    assert done.returncode == 0, done.stderr
    return {canonicalize_name(one["metadata"]["name"]) for one in json.loads(done.stdout)["install"]}


def skip_without_index(said: str) -> None:
    unreachable = (
        "Could not fetch URL",
        "Temporary failure in name resolution",
        "Failed to establish a new connection",
    )
    if any(words in said for words in unreachable):
        pytest.skip("no package index can be reached")


@pytest.mark.slow
def test_a_clean_environment_with_readmes_command_runs_a_bundle(micro_bundle: Bundle, tmp_path: Path) -> None:
    """`pip install '.[cpu]'` in a copy of the repository; then what is told there, without PyTorch."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("this is no git repository")
    source = tmp_path / "source"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    programs = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*map(str, words)], cwd=source, env=environment, capture_output=True, text=True)

    done = run(programs / "python", "-m", "pip", "install", "--quiet", ".[cpu]")
    skip_without_index(done.stderr)
    assert done.returncode == 0, done.stderr
    found = {one["name"] for one in json.loads(run(programs / "python", "-m", "pip", "list", "--format=json").stdout)}
    assert {canonicalize_name(name) for name in found} & RUNTIMES == {"onnxruntime"}
    assert "torch" not in found
    clip = write_clip(tmp_path / "clip.mkv", frames=3)
    out = tmp_path / "lines.jsonl"
    bundle = shutil.copytree(micro_bundle.path, tmp_path / "own.bundle")
    shutil.rmtree(bundle / "engines")
    for words in (["doctor"], ["build-engine", bundle], ["infer", bundle, clip, "--json", out]):
        done = run(programs / "vpp-deploy", *words)
        assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 3
