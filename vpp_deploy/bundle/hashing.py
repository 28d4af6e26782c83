"""SHA-256 as lower-case hex: what the manifest records and what fingerprints are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Final

_PIECE: Final = 1 << 20


def sha256_of_bytes(data: bytes | bytearray | memoryview) -> str:
    """The SHA-256 of a contiguous buffer, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_open_file(file: BinaryIO) -> str:
    """The SHA-256 of what is still to be read of an open file, as 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file, as 64 hex digits. Reads in pieces, so a file may be larger than memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of_open_file(file)
