"""CONTRIBUTING.md names the files that a change touches: they exist, and commits that followed a recipe agree."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch

import pytest

from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    title: re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^- ((?:`[^`]+`(?:, )?)+):", body, re.MULTILINE)))
    for title, body in re.findall(r"^### Add an? (.+?)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
}
PLACES = re.compile(r"\b(NAME|COMMAND)\b")


def pattern(path: str) -> str:
    """A recipe's path as a pattern: placeholders stand for any name, folders for all in them."""
    return PLACES.sub("*", path) + ("*" if path.endswith("/") else "")


def test_all_five_recipes_are_read() -> None:
    assert list(RECIPES) == ["family", "op", "backend", "precision", "CLI option"]
    assert all(len(paths) >= 4 for paths in RECIPES.values())


@pytest.mark.parametrize(("recipe", "path"), [(name, path) for name, paths in RECIPES.items() for path in paths])
def test_every_place_exists(recipe: str, path: str) -> None:
    assert any(REPOSITORY.glob(PLACES.sub("*", path).rstrip("/"))), f"{recipe}: {path}"


def commits_of(recipe: str) -> list[str]:
    """The commits that followed a recipe and nothing else; their subject says so: `Family: DynamicViT`."""
    log = subprocess.run(
        ["git", "log", "--format=%H %s"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return [line.partition(" ")[0] for line in log if line.partition(" ")[2].startswith(f"{recipe.capitalize()}: ")]


def test_the_commits_of_families_touched_what_the_recipe_names() -> None:
    commits = commits_of("family")
    if not commits:
        pytest.skip("no history here: this copy is not a clone, or a shallow one")
    allowed = [pattern(path) for path in RECIPES["family"]]
    for commit in commits:
        names = subprocess.run(
            ["git", "show", "--format=", "--name-only", commit],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert [name for name in names if not any(fnmatch(name, place) for place in allowed)] == [], commit
        for place in allowed:  # and everything that it names was needed
            assert any(fnmatch(name, place) for name in names), (commit, place)
        package = [name for name in names if name.startswith("vpp_deploy/")]
        folders = {name.split("/")[2] for name in package if name != "vpp_deploy/families/__init__.py"}
        assert len(folders) == 1, package


def test_the_registry_line_is_one_line() -> None:
    for commit in commits_of("family"):
        change = subprocess.run(
            ["git", "show", "--format=", "--numstat", commit, "--", "vpp_deploy/families/__init__.py"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert change[:2] == ["1", "0"], commit
