"""Outputs that are no regular files: written to as they are, never replaced."""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from vpp_deploy.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READER_SECONDS: Final = 5.0
"""How long a FIFO may be without a reader before its output is refused."""
_STANDARD: Final = (1, 2)


def is_stream(path: Path, found: os.stat_result) -> bool:
    """Whether an existing output is written to as it is: a character device, a FIFO, a socket, a descriptor of ours.

    Args:
        path: the output.
        found: its `os.stat`.

    Raises:
        OutputError: it is a folder, or a disk.
    """
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path}: this is a folder; give the name of a file")
    if stat.S_ISBLK(found.st_mode):
        raise OutputError(f"{path}: this is a disk; give the name of a file")
    return not stat.S_ISREG(found.st_mode) or _own_descriptor(path, found) is not None


def open_stream(path: Path) -> OutputStream:
    """Open what `is_stream` for writing. A reader that goes away ends the writing without an error.

    Raises:
        OutputError: it cannot be opened, or it is a FIFO that nobody reads.
    """
    try:
        found = os.stat(path)
        own = _own_descriptor(path, found)
        if own is not None:
            descriptor = os.dup(own)
        elif stat.S_ISSOCK(found.st_mode):
            descriptor = _connected(path)
        elif stat.S_ISFIFO(found.st_mode):
            descriptor = _read_by_somebody(path)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        reason = "nobody reads this FIFO" if error.errno == errno.ENXIO else error.strerror or error
        raise OutputError(f"{path}: cannot be written to: {reason}") from error
    return OutputStream(descriptor)


class OutputStream(io.BufferedWriter):
    """A descriptor to write to, until whoever reads has seen enough.

    After an exception in its `with` block it is abandoned.

    Args:
        descriptor: is closed with the stream.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = _Descriptor(descriptor, "wb")
        super().__init__(self._file)

    def abandon(self) -> None:
        """Close it without waiting: whoever reads may have stopped doing so, which must not keep a run from ending.

        What is still buffered is written as far as it is taken at once.
        """
        if self.closed:
            return
        try:
            os.set_blocking(self.fileno(), False)
            try:
                self.flush()
            finally:
                os.set_blocking(self.fileno(), True)  # others may have the same one, as a terminal's
        except OSError:
            self._file.abandoned = True
        self.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()


class _Descriptor(io.FileIO):
    abandoned = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write the bytes, or drop them where nobody reads any more."""
        if self.abandoned:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _own_descriptor(path: Path, found: os.stat_result) -> int | None:
    """Which of our own standard streams a file is, or which descriptor `/dev/fd/N` names; None for neither.

    Opened by its name, a redirected one would be written to from its beginning, over what stands there already; and the
    file may have no name any more.
    """
    if path.name.isdecimal() and os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
        return int(path.name)
    for descriptor in _STANDARD:
        try:
            if os.path.samestat(os.fstat(descriptor), found):
                return descriptor
        except OSError:  # closed
            continue
    return None


def _connected(path: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.fspath(path))
        return connection.detach()


def _read_by_somebody(path: Path) -> int:
    """A FIFO opened for writing, as soon as it has a reader.

    Raises:
        OSError: it has none after `READER_SECONDS`.
    """
    patience = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > patience:
                raise
            time.sleep(0.05)
        else:
            os.set_blocking(descriptor, True)
            return descriptor
