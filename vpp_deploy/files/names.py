"""Names of files for libraries that take only UTF-8."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    """A name by which a library can open a file whose folder's name is not UTF-8: the path itself where it is.

    Args:
        path: a file whose own name is UTF-8; it need not exist.

    Raises:
        OSError: its folder cannot be opened.
    """
    if is_utf8(path):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"  # bytes that are not UTF-8 are a thing of Linux
    finally:
        os.close(folder)
