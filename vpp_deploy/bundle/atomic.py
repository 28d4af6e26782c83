"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def temporary_sibling(path: Path) -> Path:
    """A hidden, unused name in the folder of `path`, so that a rename to `path` stays on one file system."""
    return path.parent / f".{path.name}.{secrets.token_hex(6)}.partial"


def replace_folder(source: Path, target: Path) -> None:
    """Give a complete folder its name. An older folder of that name is replaced as a whole; it stays if that fails.

    Raises:
        OSError: the folder cannot be renamed.
    """
    if not target.exists():
        os.rename(source, target)
        return
    previous = temporary_sibling(target)
    os.rename(target, previous)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(previous, target)
        raise
    shutil.rmtree(previous, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write `path` under a temporary name; it gets its own name, replacing an older file, when the block succeeds.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    temporary = temporary_sibling(path)
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
