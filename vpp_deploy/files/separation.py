"""No command writes over what it reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import find_target, partial_name

_STANDARD_INPUT: Final = "/dev/stdin"
"""A link to what `-` reads, where that is a file."""


def check_outputs(outputs: Iterable[Path], *, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """See that no output would change what is read, or another output. Links are followed, hard links known.

    Of an input that is a folder (images, a data set, a bundle) everything in it counts as read, and so does a new file
    there: the next run would find it.

    Args:
        outputs: files and folders that will be written.
        inputs: files and folders that are read; `-` is what comes in by standard input. Those that do not exist are
            somebody else's to refuse.

    Raises:
        UsageError: an output is an input, lies in one, contains one, or has another output's name.
        OutputError: an output cannot be: see `vpp_deploy.files.outputs.find_target`.
    """
    read = [(path, place, found) for path in inputs if (place := _place(path)) and (found := _found(path))]
    written: list[Path] = []
    for output in outputs:
        target = _place(output)
        if target is None:
            find_target(output)  # says why
            continue
        there = _found(output)
        if there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
            continue  # a device, a FIFO or a socket: it holds nothing
        for path, place, found in read:
            if place.is_relative_to(target) or (there is not None and os.path.samestat(there, found)):
                raise UsageError(f"output {output} would overwrite {path}, which is read; give it another name")
            if place == partial_name(target):
                raise UsageError(f"{path} is read, and what an error leaves of {output} would replace it; rename one")
            if stat.S_ISDIR(found.st_mode) and target.is_relative_to(place):
                raise UsageError(f"output {output} lies in {path}, which is read; write it somewhere else")
            if there is not None and there.st_nlink > 1 and stat.S_ISREG(there.st_mode) and _holds(place, there):
                raise UsageError(f"output {output} is a hard link into {path}, which is read; give it another name")
        if any(target.is_relative_to(other) or other.is_relative_to(target) for other in written):
            raise UsageError(f"output {output} would overwrite another output; give it another name")
        written.append(target)


def check_files(outputs: Iterable[Path], *, files: Iterable[Path]) -> None:
    """See that no output is one of many files that are read, such as those that a table names. Links are followed.

    Raises:
        UsageError: an output is one of the files.
    """
    there = [(output, found) for output in outputs if (found := _found(output)) and stat.S_ISREG(found.st_mode)]
    for path in files if there else ():
        read = _found(path)
        for output, found in there:
            if read is not None and os.path.samestat(found, read):
                raise UsageError(f"output {output} would overwrite {path}, which is read; give it another name")


def _place(path: str | os.PathLike[str]) -> Path | None:
    """The path with links followed; None for a relative one in a working folder that is gone."""
    try:
        return Path(os.path.realpath(_STANDARD_INPUT if path == "-" else path))
    except (OSError, ValueError):  # ValueError: a NUL byte
        return None


def _found(path: str | os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.fstat(0) if path == "-" else os.stat(path)
    except (OSError, ValueError):
        return None


def _holds(folder: Path, file: os.stat_result) -> bool:
    return any(os.path.samestat(entry, file) for entry in _files(folder))


def _files(folder: Path) -> Iterator[os.stat_result]:
    for place, _, names in os.walk(folder):
        for name in names:
            if found := _found(Path(place) / name):
                yield found
