"""Backends are records: consistent, cheap to list, and all that the rest of the package knows about them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vpp_deploy
from tests.conftest import REPOSITORY
from tests.engines import made_up
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.record_options import Source, options_by_name
from vpp_deploy.engines import BACKENDS, TensorRtBuildOptions
from vpp_deploy.engines.backend import Ability, Backend, Surroundings, installed_version
from vpp_deploy.errors import DependencyError, UsageError
from vpp_deploy.parity.report_common import versions

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
every_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=list(BACKENDS))


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements}


@every_backend
def test_the_extra_installs_the_backend(backend: Backend) -> None:
    extras = PROJECT["optional-dependencies"]
    requirements = PROJECT["dependencies"] if backend.extra is None else extras[backend.extra]
    assert backend.distributions[0] in distributions(requirements)


def test_whatever_the_project_asks_for_belongs_to_a_backend() -> None:
    """A distribution of a vendor in pyproject.toml is one that a record knows."""
    asked = distributions(sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"]))
    vendors = {name for name in asked if name.startswith(("onnxruntime", "openvino", "tensorrt"))}
    assert vendors == {backend.distributions[0] for backend in BACKENDS.values()}


@every_backend
def test_a_record_is_named_as_it_is_registered(backend: Backend) -> None:
    assert BACKENDS[backend.name] is backend


def target(function: Callable[..., Any]) -> Any:
    """What a lazy function of a record leads to."""
    if isinstance(function, partial):
        function = function.func
    module, found, name = function.__qualname__.partition(":")
    return getattr(importlib.import_module(module), name) if found else function


@every_backend
def test_the_functions_of_a_record_exist(backend: Backend) -> None:
    assert all(callable(target(getattr(backend, name))) for name in ("examine", "problems", "prepare", "load"))


@pytest.mark.parametrize("kind", ["build_options", "load_options"])
def test_options_compose(kind: str) -> None:
    sources = [Source(name, name, backend.title, getattr(backend, kind)) for name, backend in BACKENDS.items()]
    declared = options_by_name(sources)
    flags = [option.flag for option, _ in declared.values()]
    assert len(set(flags)) == len(flags)
    for backend in BACKENDS.values():
        assert getattr(backend, kind)() == getattr(backend, kind)()


def test_options_are_typed_one_way_and_named_another() -> None:
    declared = options_by_name([Source("tensorrt", "tensorrt", "TensorRT", TensorRtBuildOptions)])
    assert [option.name for option, _ in declared.values()] == [field.name for field in fields(TensorRtBuildOptions)]
    workspace = declared["workspace_bytes"][0]
    assert (workspace.flag, workspace.scale) == ("--workspace", 2**20)
    assert declared["compute_capabilities"][0].flag == "--compute-capability"


def test_listing_backends_loads_none_of_them() -> None:
    program = (
        "import sys, vpp_deploy.engines as engines; list(engines.BACKENDS.values()); "
        "print(*sorted({'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'polygraphy', 'onnx', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def install(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Have these distributions installed, and no others."""

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)


@every_backend
def test_a_parity_report_names_the_version_that_ran(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in backend.distributions:
        install(monkeypatch, {name: "1.2.3", "numpy": "2.0"})
        assert versions(backend.name) == {"vpp-deploy": vpp_deploy.__version__, name: "1.2.3", "numpy": "2.0"}


def test_a_parity_report_of_cuda_names_the_runtime_of_this_machine() -> None:
    found = versions("onnxruntime-cuda")
    assert found.keys() & {"onnxruntime", "onnxruntime-gpu"}
    assert "onnxruntime" not in versions("torch")


@every_backend
def test_a_backend_that_is_not_installed_names_its_extra(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backend, "distribution", lambda backend: None)
    assert backend.version() is None
    with pytest.raises(DependencyError, match=re.escape(f"{backend.name} is not installed")) as caught:
        backend.required_version()
    assert str(caught.value).endswith(f"[{backend.extra}]" if backend.extra else "pip install vpp-deploy")


def test_another_distribution_of_the_same_module_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"onnxruntime-openvino": "1.24.1"})
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-openvino"]})
    backend = BACKENDS["onnxruntime"]
    assert backend.distribution() == ("onnxruntime-openvino", "1.24.1")
    assert backend.distribution(lambda name: None) is None


@every_backend
def test_doctor_gets_an_answer_from_every_backend(backend: Backend) -> None:
    assert isinstance(backend.examine(Surroundings(lambda name: None, ())), Ability)


@pytest.fixture
def bundle(micro_bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(micro_bundle.path, tmp_path / "copy.bundle"))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend from elsewhere, until the test ends."""
    monkeypatch.setattr(BACKENDS, "_records", dict(BACKENDS._records))
    BACKENDS.register("made-up", made_up.BACKEND)
    return made_up.BACKEND


def test_a_backend_from_elsewhere_is_built_and_loaded(registered: Backend, bundle: Bundle) -> None:
    built = vpp_deploy.build_engine(bundle, "made-up", polish=3)
    assert (built.backend, built.record.options) == ("made-up", {"polish": "3"})
    loaded = vpp_deploy.load_engine(bundle, "made-up", shine=True, threads=2)
    assert loaded.options == made_up.LoadOptions(shine=True)
    assert versions("made-up")["numpy"] == built.record.backend_version == installed_version("numpy")

    usual = vpp_deploy.load_engine(bundle, "onnxruntime")
    graph = bundle.manifest.graphs["init"]
    inputs = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs}
    ours, theirs = (engine.open_stream().run(inputs) for engine in (loaded, usual))
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-4, err_msg=name)


def test_options_of_a_backend_from_elsewhere(registered: Backend, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="polish is 0; it must be at least 1"):
        vpp_deploy.build_engine(bundle, "made-up", polish=0)
    with pytest.raises(UsageError, match="polish: for made-up, not for onnxruntime; leave it out"):
        vpp_deploy.build_engine(bundle, "onnxruntime", polish=2)
    with pytest.raises(UsageError, match="workspace bytes: for tensorrt and tensorrt-rtx, not for made-up"):
        vpp_deploy.build_engine(bundle, "made-up", TensorRtBuildOptions(workspace_bytes=1))
    with pytest.raises(UsageError, match="onnxruntime has no option polnish; it has native_ops, native_library"):
        vpp_deploy.build_engine(bundle, "onnxruntime", polnish=2)
    with pytest.raises(UsageError, match=r"use one of .*, tensorrt, made-up"):
        vpp_deploy.load_engine(bundle, "abacus")


COMMANDS = """
import sys
from contextlib import redirect_stdout
from io import StringIO
from json import dump
from tests.engines.made_up import BACKEND
from vpp_deploy.engines import BACKENDS

BACKENDS.register("made-up", BACKEND)
from vpp_deploy.cli.main import main

bundle, clip = sys.argv[1:]
answers = []
for words in (
    ["build-engine", "--help"],
    ["build-engine", bundle, "--engine", "made-up", "--polish", "3"],
    ["build-engine", bundle, "--engine", "made-up", "--polish", "4", "--explain-cache"],
    ["infer", bundle, clip, "--engine", "made-up", "--shine"],
    ["inspect", bundle, "--json"],
    ["doctor", "--json"],
    ["infer", bundle, clip, "--shine"],
):
    with redirect_stdout(StringIO()) as out:
        code = main(words)
    answers.append((code, out.getvalue()))
dump(answers, sys.stdout)
"""


def test_every_command_takes_a_backend_from_elsewhere(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2, size=(60, 90))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, bundle.path, clip], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    answers = [SimpleNamespace(code=code, out=out) for code, out in json.loads(done.stdout)]
    page, built, explained, inferred, inspected, doctor, _ = answers
    assert [answer.code for answer in answers] == [0, 0, 0, 0, 0, 0, 2], done.stderr
    assert "tensorrt, made-up" in " ".join(page.out.replace("│", " ").split())
    assert "--polish" in page.out
    assert f"made-up {np.__version__} engine, float32" in built.out
    assert "differs: 3, now 4" in explained.out
    assert inferred.out
    assert json.loads(inspected.out)["engines"]["made-up"]["fits"] is True
    assert json.loads(doctor.out)["backends"]["made-up"] == {"cannot_build": None, "cannot_run": None, "plugins": []}
    assert "--shine is for made-up, not for onnxruntime; leave it out" in done.stderr
