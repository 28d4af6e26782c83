"""Reading files that strangers wrote: regular files alone, within bounds, and every failure as one error."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from vpp_deploy.errors import VppDeployError
from vpp_deploy.files.limits import in_bytes

_MEGABYTE: Final = 1_000_000
_FEWEST_BYTES_COUNTED: Final = 4 * _MEGABYTE


def regular_file(path: Path) -> BinaryIO | None:
    """A regular file, open for reading, links followed; None for anything else. A FIFO is not waited for.

    Raises:
        OSError: it does not exist, or cannot be opened.
        ValueError: a NUL byte in the name.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def open_regular(path: Path, error: type[VppDeployError], *, what: str) -> BinaryIO:
    """Open a regular file for reading, see `regular_file`.

    Args:
        path: the file.
        error: raised for whatever goes wrong.
        what: the file's part in the sentence, e.g. `manifest`.

    Raises:
        error: the file does not exist, cannot be opened, or is a folder, device, FIFO or socket.
    """
    try:
        file = regular_file(path)
    except (OSError, ValueError) as reason:
        raise error(f"cannot read the {what} {path}: {getattr(reason, 'strerror', None) or reason}") from reason
    if file is None:
        raise error(f"cannot read the {what} {path}: it is not a regular file")
    return file


def read_bytes(path: Path, error: type[VppDeployError], *, what: str, limit: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        error: raised for whatever goes wrong.
        what: the file's part in the sentence, e.g. `manifest`.
        limit: the most bytes that such a file may have; a larger one is not read.

    Raises:
        error: as `open_regular`, or the file is too large.
    """
    with open_regular(path, error, what=what) as file:
        if (size := os.fstat(file.fileno()).st_size) > limit:
            raise error(
                f"the {what} {path} has {in_bytes(size)}, and the most that is read is "
                f"{in_bytes(limit)}: is it the right file?"
            )
        try:
            content = file.read(size + _MEGABYTE)
        except OSError as reason:
            raise error(f"cannot read the {what} {path}: {reason.strerror or reason}") from reason
    if len(content) > limit:  # it grew, or its file system tells no sizes
        raise error(f"the {what} {path} has more than {in_bytes(limit)}: is it the right file?")
    return content


def read_json(
    path: Path, error: type[VppDeployError], *, what: str, limit: int, values: int = 5_000_000, hint: str = ""
) -> Any:
    """The JSON value in a file. NaN and infinity, which JSON does not have, are refused.

    Args:
        path: the file.
        error: raised for whatever goes wrong.
        what: the file's part in the sentence, e.g. `manifest`.
        limit: the most bytes that such a file may have.
        values: the most numbers, strings, arrays and objects that it may hold: tens of bytes each in memory.
        hint: what to do about a file that is not JSON.

    Raises:
        error: as `read_bytes`, or the content is not JSON, or holds too many values.
    """
    content = read_bytes(path, error, what=what, limit=limit)
    if len(content) > _FEWEST_BYTES_COUNTED and most_values(content) > values:
        raise error(f"the {what} {path} holds more than {values} values: is it the right file?")
    try:
        return json.loads(content, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as reason:
        why = "nested too deep" if isinstance(reason, RecursionError) else reason
        raise error(f"the {what} {path} is not JSON ({why}){f': {hint}' if hint else ''}") from reason


def most_values(content: bytes) -> int:
    """How many numbers, strings, arrays and objects JSON text can hold at most, without parsing it."""
    return sum(map(content.count, (b",", b"[", b"{")))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number:.20} is too large a number")
    return value
