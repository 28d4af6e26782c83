"""The versions that were last tested, and the lowest that are promised, follow what `pyproject.toml` declares."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import REPOSITORY

WITHOUT_A_GPU = ("cpu", "openvino", "export", "rtx", "evaluate", "dev")


@pytest.fixture(scope="module")
def lower_bounds() -> ModuleType:
    path = REPOSITORY / "tools" / "lower_bounds.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins() -> dict[str, Version]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in found}


def test_every_requirement_has_a_pin_that_satisfies_it(lower_bounds: ModuleType) -> None:
    versions = pins()
    requirements: list[Requirement] = lower_bounds.requirements(WITHOUT_A_GPU)
    wrong = [
        str(one)
        for one in requirements
        if canonicalize_name(one.name) not in versions
        or not one.specifier.contains(versions[canonicalize_name(one.name)], prereleases=True)
    ]
    assert not wrong, f"constraints.txt does not fit pyproject.toml for {', '.join(wrong)}: run `make constraints`"


def test_every_requirement_promises_a_lower_bound(lower_bounds: ModuleType) -> None:
    lines = lower_bounds.constraints(lower_bounds.requirements(WITHOUT_A_GPU))
    assert len(lines) == len({line.split("==")[0] for line in lines})
    assert "torch==2.8" in lines


def test_the_highest_bound_of_two_counts(lower_bounds: ModuleType) -> None:
    found = [Requirement("Some_Thing>=1.2"), Requirement("some-thing>=1.10,<3"), Requirement("other>=2")]
    assert lower_bounds.constraints(found) == ["other==2", "some-thing==1.10"]


def test_a_requirement_without_a_bound_promises_nothing(lower_bounds: ModuleType) -> None:
    with pytest.raises(ValueError, match="has no lower bound: write pycuda>=VERSION"):
        lower_bounds.lower_bound(Requirement("pycuda"))


def test_extras_that_need_another_machine_are_left_out(lower_bounds: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        "[project]\ndependencies = ['a>=1']\n[project.optional-dependencies]\n"
        "x = ['b>=2; python_version < \"3\"', 'c>=3']\n"
    )
    assert [str(one) for one in lower_bounds.requirements(["x"], path)] == ["a>=1", "c>=3"]
