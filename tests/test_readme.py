"""What the README tells a user to type exists, and what it tells a program to import too."""

from __future__ import annotations

import ast
import re
import shlex

import pytest

import vpp_deploy
from tests.conftest import REPOSITORY
from vpp_deploy.cli.commands import load

README = (REPOSITORY / "README.md").read_text()
PAPR = (REPOSITORY / "docs" / "papr.md").read_text()
COMMANDS = [line for line in README.splitlines() if line.startswith("vpp-deploy ")]
PAPR_COMMANDS = [line for line in PAPR.splitlines() if line.startswith("vpp-deploy ")]


def test_the_readme_shows_the_four_commands_for_each_family() -> None:
    assert [line.split()[1] for line in COMMANDS] == ["export", "build-engine", "infer", "parity"] * 2


@pytest.mark.parametrize("line", [*COMMANDS, *PAPR_COMMANDS])
def test_commands_parse(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = load(name)
    command.make_context(name, arguments)


@pytest.mark.parametrize("page", [README, PAPR], ids=["README", "papr"])
def test_names_of_the_python_example_exist(page: str) -> None:
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vd"
    }
    assert used
    assert all(callable(getattr(vpp_deploy, name)) for name in used)


def test_public_names_resolve() -> None:
    assert all(getattr(vpp_deploy, name) is not None for name in vpp_deploy.__all__)


@pytest.mark.parametrize("target", re.findall(r"\]\((docs/[^)]+)\)", README))
def test_linked_pages_exist(target: str) -> None:
    assert (REPOSITORY / target).is_file()


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= set(targets)
