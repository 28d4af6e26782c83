"""Virtual environments that hold a wheel and what it needs, and nothing else: links to what is installed here.

So no package index is needed, and all that was not asked for is missing as it is for a user.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make(wheel: Path, folder: Path, extras: Sequence[str] = ()) -> Path:
    """Make an environment in a folder: the wheel as pip installs it, with what it and its extras require.

    Returns:
        The folder of its programs.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    (installed,) = packages.glob("*.dist-info")
    for found in required(Distribution.at(installed), extras):
        _link(found, packages)
    return programs


def required(of: Distribution, extras: Sequence[str] = ()) -> Iterator[Distribution]:
    """What a distribution requires with some of its extras, directly and in turn, as it is installed here."""
    seen: set[tuple[str, str]] = set()
    waiting = [(of, extra) for extra in ("", *extras)]
    while waiting:
        one, extra = waiting.pop()
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            if (name, "") not in seen:
                yield distribution(name)
            for wanted in {"", *requirement.extras}:
                if (name, wanted) not in seen:
                    seen.add((name, wanted))
                    waiting.append((distribution(name), wanted))


def _link(found: Distribution, packages: Path) -> None:
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and source.is_file():  # programs of its own lie elsewhere
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            (packages / file).symlink_to(source)
