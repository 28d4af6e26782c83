"""Prints the lowest version that `pyproject.toml` promises of every dependency, as a pip constraints file.

    python tools/lower_bounds.py export rtx dev > bounds.txt

The arguments are the extras to include. `make lower-bounds` installs these versions and runs tests with them.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(extras: Iterable[str], pyproject: Path = PYPROJECT) -> list[Requirement]:
    """The dependencies of the package and of some of its extras that this machine needs."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    found = [Requirement(text) for text in texts]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def lower_bound(requirement: Requirement) -> Version:
    """The version after `>=`.

    Raises:
        ValueError: there is none, so nothing is promised.
    """
    versions = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
    if not versions:
        raise ValueError(f"{requirement} in pyproject.toml has no lower bound: write {requirement.name}>=VERSION")
    return max(versions)


def constraints(found: Iterable[Requirement]) -> list[str]:
    """One `name==version` a package; the highest bound of a package that is required twice."""
    bounds: dict[str, Version] = {}
    for requirement in found:
        name, bound = canonicalize_name(requirement.name), lower_bound(requirement)
        bounds[name] = max(bound, bounds.get(name, bound))
    return [f"{name}=={bound}" for name, bound in sorted(bounds.items())]


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in constraints(requirements(sys.argv[1:])))
