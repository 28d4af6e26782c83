"""Standard streams that stop nothing: whoever reads them may be gone, full, or never have been there."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LastingStream(io.TextIOWrapper):
    """A standard stream that takes everything, and remembers that it could not be written.

    Args:
        descriptor: 1 or 2.
        encoding: of the text; a character that it lacks is spelled out.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._file = _LastingFile(descriptor, "wb", closefd=False)
        super().__init__(
            io.BufferedWriter(self._file),
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=descriptor == 2 or os.isatty(descriptor),
        )

    @property
    def problem(self) -> str | None:
        """Why not all of it could be written; None if it could, or whoever reads has gone, as `head` does."""
        return self._file.problem


class _LastingFile(io.FileIO):
    problem: str | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EBADF):
                self.problem = error.strerror
            return memoryview(data).nbytes


@contextmanager
def lasting() -> Iterator[None]:
    """A block in which this process's standard streams are there and last.

    A closed one becomes the null device, so that no file of ours gets its number and then what others print. Streams
    that have been replaced, as test runners do, are left as they are.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    with ExitStack() as stack:
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            if getattr(sys, name) is getattr(sys, f"__{name}__"):
                stack.enter_context(_replaced(name, descriptor))
        yield
        if isinstance(sys.stdout, LastingStream):
            sys.stdout.flush()
            if sys.stdout.problem:
                sys.stderr.write(f"warning: standard output could not be written: {sys.stdout.problem}\n")


@contextmanager
def _replaced(name: str, descriptor: int) -> Iterator[None]:
    before: TextIO | None = getattr(sys, name)
    if before is not None:
        before.flush()
    stream = LastingStream(descriptor, before.encoding if before is not None else "utf-8")
    setattr(sys, name, stream)
    try:
        yield
    finally:
        stream.flush()
        setattr(sys, name, before)
