"""No command writes over what it reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import find_target, partial_name

_Given = str | os.PathLike[str]
_STANDARD_INPUT: Final = "/dev/stdin"
"""A link to what `-` reads, where that is a file."""


def check_outputs(outputs: Iterable[Path], *, inputs: Iterable[_Given]) -> None:
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
    read, written = _Read(inputs), _Places()
    for output in outputs:
        target = _place(output)
        if target is None:
            find_target(output)  # says why
            continue
        there = _found(output)
        if there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
            continue  # a device, a FIFO or a socket: it holds nothing
        if (path := read.places.inside(target) or read.same(there)) is not None:
            raise UsageError(f"output {output} would overwrite {path}, which is read; give it another name")
        if (path := read.places.at(partial_name(target))) is not None:
            raise UsageError(f"{path} is read, and what an error leaves of {output} would replace it; rename one")
        if (path := read.folders.around(target)) is not None:
            raise UsageError(f"output {output} lies in {path}, which is read; write it somewhere else")
        if (path := read.holding(there)) is not None:
            raise UsageError(f"output {output} is a hard link into {path}, which is read; give it another name")
        if (written.inside(target) or written.around(target)) is not None:
            raise UsageError(f"output {output} would overwrite another output; give it another name")
        written.add(target, output)


class _Places:
    """Paths with links followed, and what each was given as."""

    def __init__(self) -> None:
        self._at: dict[Path, _Given] = {}
        self._above: dict[Path, _Given] = {}

    def add(self, place: Path, given: _Given) -> None:
        self._at.setdefault(place, given)
        for each in (place, *place.parents):
            self._above.setdefault(each, given)

    def __iter__(self) -> Iterator[tuple[Path, _Given]]:
        return iter(self._at.items())

    def at(self, place: Path) -> _Given | None:
        return self._at.get(place)

    def inside(self, place: Path) -> _Given | None:
        """The first that is this one, or lies in it."""
        return self._above.get(place)

    def around(self, place: Path) -> _Given | None:
        """One that is this one, or that it lies in."""
        return next((self._at[each] for each in (place, *place.parents) if each in self._at), None)


class _Read:
    """What is read and exists."""

    def __init__(self, inputs: Iterable[_Given]) -> None:
        self.places, self.folders = _Places(), _Places()
        self._numbers: dict[tuple[int, int], _Given] = {}
        for given in inputs:
            if (place := _place(given)) and (found := _found(given)):
                self.places.add(place, given)
                self._numbers.setdefault((found.st_dev, found.st_ino), given)
                if stat.S_ISDIR(found.st_mode):
                    self.folders.add(place, given)

    def same(self, there: os.stat_result | None) -> _Given | None:
        """The first that is a certain file, under whatever name."""
        return None if there is None else self._numbers.get((there.st_dev, there.st_ino))

    def holding(self, there: os.stat_result | None) -> _Given | None:
        """The first folder that a certain file is in, under whatever name."""
        if there is None or there.st_nlink < 2 or not stat.S_ISREG(there.st_mode):
            return None
        return next((given for place, given in self.folders if _holds(place, there)), None)


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


def _place(path: _Given) -> Path | None:
    """The path with links followed; None for a relative one in a working folder that is gone."""
    try:
        return Path(os.path.realpath(_STANDARD_INPUT if path == "-" else path))
    except (OSError, ValueError):  # ValueError: a NUL byte
        return None


def _found(path: _Given) -> os.stat_result | None:
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
