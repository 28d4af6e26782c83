from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from vpp_deploy import __version__
from vpp_deploy.cli.environment import examine, known_packages
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.backend import installed_version
from vpp_deploy.engines.tensorrt.plugin_library import PATH_VARIABLE
from vpp_deploy.families.papr.names import CATALOGUE, PROPOSALS
from vpp_deploy.families.vpp.config import KEEP_SCHEDULES, MODELS
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.machine import Gpu


def test_models_lists_what_export_takes(cli: Cli) -> None:
    outcome = cli("models")
    assert all(name in outcome.out for name in (*MODELS, *KEEP_SCHEDULES, *DATASETS))
    content = json.loads(cli("models", "--json").out)
    assert list(content["models"]) == list(MODELS)
    assert content["keep_schedules"]["0.55"] == {"mapping": 0.7, "selective": [0.56, 0.448, 0.358]}
    assert content["datasets"]["shapes"] == list(DATASETS["shapes"])


def test_models_lists_the_papr_models_and_proposals(cli: Cli) -> None:
    out = cli("models").out
    assert all(name in out for name in (*CATALOGUE, *PROPOSALS))
    content = json.loads(cli("models", "--json").out)
    assert list(content["papr_models"]) == [f"papr:{name}" for name in CATALOGUE]
    assert list(content["papr_proposals"]) == list(PROPOSALS)
    entry = {"input": "images", "proposal": "mobileone_s0", "published": False}
    assert content["papr_models"]["papr:mae_vit_base_patch16_224"] == entry
    assert content["papr_proposals"]["x3d_m"] == {"input": "clips", "published": False}


def test_doctor_json_describes_this_machine(cli: Cli) -> None:
    outcome = cli("doctor", "--json")
    content = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert content["vpp_deploy"] == __version__
    assert content["backends"]["onnxruntime"] == {"cannot_build": None, "cannot_run": None, "plugins": []}
    assert list(content["backends"]) == list(BACKENDS)
    assert "CPUExecutionProvider" in content["providers"]
    packages = {package["name"]: package for package in content["packages"]}
    assert packages["numpy"]["version"] == installed_version("numpy")
    assert packages["torch"]["extras"] == ["export"]
    assert {"rtx", "tensorrt", "export"} == set(packages["polygraphy"]["extras"])
    assert "pytest" not in packages


def test_doctor_for_a_human(cli: Cli) -> None:
    out = cli("doctor").out
    assert "vpp-deploy[export]" in out
    assert "H.264 encoder available" in out
    assert "tensorrt-rtx" in out


def test_both_onnx_runtimes_are_a_problem_with_a_remedy() -> None:
    problems = examine(installed=lambda name: "1.20").problems
    assert any("onnxruntime-gpu are both installed" in problem and "pip uninstall" in problem for problem in problems)


def test_the_gpu_runtime_alone_is_no_problem() -> None:
    assert examine(installed=lambda name: None if name == "onnxruntime" else "1.20").problems == ()


def test_a_missing_core_package_is_a_problem() -> None:
    problems = examine(installed=lambda name: None if name == "pydantic" else installed_version(name)).problems
    assert any("always needed: pydantic" in problem for problem in problems)


def test_what_is_missing_for_an_engine_is_named_with_its_extra() -> None:
    backends = examine(installed=lambda name: None).backends
    assert backends["tensorrt-rtx"].cannot_build == (
        "tensorrt-rtx and polygraphy not installed: pip install vpp-deploy[rtx]"
    )
    assert "vpp-deploy[tensorrt]" in str(backends["tensorrt"].cannot_build)


@pytest.mark.parametrize(
    ("requirement", "name", "needs", "extras"),
    [
        ("onnx>=1.17", "onnx", ">=1.17", ()),
        ("torchvision; extra == 'export'", "torchvision", "", ("export",)),
        ('tensorrt-rtx[cu13]>=1.3,<2 ; extra == "rtx"', "tensorrt-rtx", ">=1.3,<2", ("rtx",)),
        ('tomli>=2; python_version < "3.11" and extra == "a-b"', "tomli", ">=2", ("a-b",)),
        ('colorama; sys_platform == "win32"', "colorama", "", ()),
    ],
)
def test_requirements_are_read_from_the_metadata(
    requirement: str, name: str, needs: str, extras: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda distribution: [requirement])
    (package,) = known_packages(lambda name: "1")
    assert (package.name, package.needs, package.extras) == (name, needs, extras)


def test_requirements_of_a_source_tree_are_those_of_its_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may lie on the path without being installed."""

    def requires(distribution: str) -> list[str]:
        raise PackageNotFoundError(distribution)

    monkeypatch.setattr("importlib.metadata.requires", requires)
    packages = {package.name: package for package in known_packages(lambda name: "1")}
    assert packages["numpy"].extras == ()
    assert packages["torch"].extras == ("export",)
    assert packages["tensorrt-rtx"].extras == ("rtx",)  # which has a marker of its own
    assert set(packages["polygraphy"].extras) == {"rtx", "tensorrt", "export"}
    assert "pytest" not in packages


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        ({"tensorrt-cu13": "11.4"}, {"tensorrt-cu13": "11.4"}),
        ({"tensorrt-cu13": "11.4", "tensorrt": "11.3"}, {"tensorrt": "11.3"}),
        ({"onnxruntime": "1.32"}, {"onnxruntime": "1.32", "onnxruntime-gpu": None}),  # each has a row of its own
        ({}, {"tensorrt": None, "tensorrt-rtx": None}),
    ],
)
def test_a_package_counts_whatever_its_distribution_is_called(
    there: dict[str, str], shown: dict[str, str | None]
) -> None:
    versions = {package.name: package.version for package in known_packages(there.get)}
    assert shown.items() <= versions.items()
    assert {name: version for name, version in versions.items() if version} == {n: v for n, v in shown.items() if v}


FAKE_SMI = """#!/bin/sh
echo "NVIDIA H200, 570.86.15, 143771 MiB, 9.0"
"""


def test_doctor_shows_the_gpu_that_nvidia_smi_finds(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(FAKE_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "NVIDIA H200, driver 570.86.15, 143771 MiB, compute capability 9.0" in cli("doctor").out


def test_doctor_survives_a_broken_nvidia_smi(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli("doctor").code == 0


H100 = Gpu("NVIDIA H100", "580.10", "81559 MiB", "9.0")


@pytest.mark.parametrize(
    ("versions", "gpus", "backend", "build", "run"),
    [
        ({}, (), "tensorrt", "tensorrt and polygraphy not installed", "tensorrt and cuda-bindings not installed"),
        ({"tensorrt": "11.4", "polygraphy": "0.5"}, (), "tensorrt", "builds for the GPU that it runs on", "[tensorrt]"),
        ({"tensorrt": "11.4", "polygraphy": "0.5", "pycuda": "1"}, (H100,), "tensorrt", None, None),
        ({"tensorrt-rtx": "1.7", "polygraphy": "0.5"}, (H100,), "tensorrt-rtx", None, "cuda-bindings not installed"),
        ({"tensorrt-cu13": "11.4", "polygraphy": "0.5", "cuda-bindings": "13"}, (H100,), "tensorrt", None, None),
        ({"tensorrt-rtx": "1.7", "pycuda": "1"}, (), "tensorrt-rtx", "vpp-deploy[rtx]", "no NVIDIA GPU"),
        ({}, (H100,), "onnxruntime-cuda", None, "no CUDA provider: pip uninstall -y onnxruntime onnxruntime-gpu, then"),
    ],
)
def test_doctor_says_what_each_engine_lacks(
    versions: dict[str, str],
    gpus: tuple[Gpu, ...],
    backend: str,
    build: str | None,
    run: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vpp_deploy.cli.environment.nvidia_gpus", lambda: gpus)
    found = examine(installed=versions.get).backends[backend]
    for reason, expected in ((found.cannot_build, build), (found.cannot_run, run)):
        assert reason is None if expected is None else expected in reason


def test_doctor_knows_plugins(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    assert f"${PATH_VARIABLE} is not set" in cli("doctor").out
    good = tmp_path / "libvpp_plugins.so"
    good.write_bytes(b"\x7fELF vpp_plugins_version=" + __version__.encode() + b"\0")
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join([str(tmp_path / "gone"), str(tmp_path)]))
    out = cli("doctor").out
    assert f"{good}, version {__version__}" in out
    assert f"looked at {tmp_path / 'gone'}" in out
    environment = examine(installed={"tensorrt": "11.4.0.106"}.get)
    assert environment.backends["tensorrt"].plugins == ("embedded", "library")
    assert environment.backends["tensorrt-rtx"].plugins == ("library",)
