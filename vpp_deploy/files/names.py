"""Names of files and folders: for libraries that take only UTF-8, and for tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def is_utf8(path: Path) -> bool:
    """Whether a path is text: on Linux a name can hold any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """A name by which a library can open a file whose path is not UTF-8: the path itself where it is.

    Args:
        path: a file; it need not exist, if its own name is UTF-8.

    Raises:
        OSError: its folder cannot be opened, or a file with such a name of its own.
    """
    if is_utf8(path):
        yield str(path)
        return
    named = is_utf8(Path(path.name))
    descriptor = os.open(path.parent if named else path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        alias = f"/proc/self/fd/{descriptor}"  # bytes that are not UTF-8 are a thing of Linux
        yield f"{alias}/{path.name}" if named else alias
    finally:
        os.close(descriptor)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """What paths are called in a table: the last name, or as many of the last ones as tell each from the others."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        length = next((n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own))
        names.append(Path(*own[-length:]).as_posix())
    return names


def is_called(path: Path, name: str) -> bool:
    """Whether a path has a name of `distinct_names`."""
    wanted = Path(name).parts
    return bool(wanted) and Path(os.path.abspath(path)).parts[-len(wanted) :] == wanted
