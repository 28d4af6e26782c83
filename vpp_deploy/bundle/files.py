"""A bundle's files as a stranger may have left them: what is read is checked, what is written stays inside."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_open_file
from vpp_deploy.bundle.manifest import FileRecord
from vpp_deploy.errors import BundleError, OutputError, VppDeployError
from vpp_deploy.files.reading import open_regular, read_bytes


def file_problem(folder: Path, name: str, record: FileRecord, *, verify: bool, links_out: bool) -> str | None:
    """What is wrong with a listed file, as the end of a sentence; None when it is as recorded.

    Args:
        folder: what the name is relative to.
        name: as a stranger's manifest or record says it.
        record: size and hash that the file should have.
        verify: also compare its SHA-256.
        links_out: take a file that links lead out of the folder to, such as a blob of a cache, if its hash is right.
    """
    if not is_plain(name):
        return "lies outside the folder"
    path = folder / name
    try:
        if not (links_out and verify) and not path.resolve().is_relative_to(folder.resolve()):
            return "lies outside the folder, by a link: copy the folder with its links followed (cp -RL)"
        if not path.is_file():
            return "is missing"
        with open_regular(path, BundleError, what="file") as file:
            return _content_problem(file, record, verify=verify)
    except (OSError, ValueError, RuntimeError, BundleError) as error:  # too long, NUL bytes, links that form a loop
        return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"


def _content_problem(file: BinaryIO, record: FileRecord, *, verify: bool) -> str | None:
    if (size := os.fstat(file.fileno()).st_size) != record.bytes:
        return f"has {size} bytes, the record says {record.bytes}"
    if verify and (digest := sha256_of_open_file(file)) != record.sha256:
        return f"was altered (sha256 {digest[:12]}…, the record says {record.sha256[:12]}…)"
    return None


def read_listed(path: Path, record: FileRecord, error: type[VppDeployError], *, what: str, altered: str) -> bytes:
    """The content of a listed file, with the hash that its record has.

    Args:
        path: the file.
        record: its size and hash.
        error: raised for whatever goes wrong.
        what: the file's part in the sentence, e.g. `graph`.
        altered: what to say where the hash is another one.

    Raises:
        error: the file cannot be read, is larger than recorded, or was altered.
    """
    content = read_bytes(path, error, what=what, limit=record.bytes)
    if sha256_of_bytes(content) != record.sha256:
        raise error(altered)
    return content


def is_plain(name: str) -> bool:
    """Whether a file's name is a relative path without `..`, on any system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return not (posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts))


def is_unlinked(folder: Path, path: Path) -> bool:
    """Whether no part of a path below a folder is a link; the folder itself may be reached through one.

    Args:
        folder: e.g. a bundle's.
        path: in the folder, whether it exists or not.
    """
    try:
        return path.resolve() == folder.resolve() / path.relative_to(folder)
    except (OSError, RuntimeError):  # links that form a loop
        return False


def place_to_write(folder: Path, path: Path) -> Path:
    """A path in a bundle that may be written, replaced and removed.

    Args:
        folder: the bundle's.
        path: in it.

    Raises:
        OutputError: a part of it is a link, so that something else would be written, replaced or removed.
    """
    if is_unlinked(folder, path):
        return path
    raise OutputError(
        f"{path} leads out of the bundle's own folders by a link to {os.path.realpath(path)}, and nothing is written "
        "through it: remove the link, or work on a copy of the bundle"
    )
