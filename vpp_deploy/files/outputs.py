"""Output files: known to be writable before the work, complete under their names or not there, together if several."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeVar

from vpp_deploy.errors import OutputError
from vpp_deploy.files.interrupts import shielded
from vpp_deploy.files.streams import OutputStream, is_stream, open_stream
from vpp_deploy.files.temporary import Temporary

PARTIAL: Final = ".partial"
"""What the name of results that an error cut short ends in."""
_LONGEST_NAME: Final = 255
"""Bytes of a file name, on nearly every file system."""

Writer = TypeVar("Writer", bound="OutputWriter")


class OutputWriter(ABC):
    """Something that writes one output in a `with` block: finished if the block ends well, else discarded."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is still to be written. Afterwards only the name is missing."""

    @abstractmethod
    def commit(self) -> None:
        """Give the output its name."""

    @abstractmethod
    def discard(self) -> Path | None:
        """Give up after an error. Harmless when called twice, or after `commit`.

        Returns:
            Where results were kept; None where nothing was.
        """

    def close(self) -> None:
        """Finish the output and give it its name."""
        try:
            self.finish()
            self.commit()
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            _discard(self, error)


class OutputGroup:
    """The outputs of one run: all get their names when the `with` block ends well and all are complete, or none."""

    def __init__(self) -> None:
        self._writers: list[OutputWriter] = []

    def add(self, writer: Writer) -> Writer:
        """Take an output into the group."""
        self._writers.append(writer)
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard(error)
            return
        try:
            for writer in self._writers:
                writer.finish()
            with shielded():
                for writer in self._writers:
                    writer.commit()
        except BaseException as failure:
            self._discard(failure)
            raise

    def _discard(self, error: BaseException) -> None:
        with ExitStack() as stack:  # one that fails must not keep the others
            for writer in self._writers:
                stack.callback(_discard, writer, error)


class OutputFile:
    """Where an output file goes: a temporary file next to it, which takes its name on `commit`.

    A link stays, and what it leads to is replaced. What is no regular file (a device, a FIFO, a socket, this process's
    own standard output or `/dev/fd/N`) is never replaced but written to, see `vpp_deploy.files.streams`.

    Making one creates the temporary file, so an output that cannot be written fails before any work is done.

    Attributes:
        path: the target, as it was given.

    Args:
        path: the target.
        seekable: what writes it goes back and forth in it, so that only a regular file will do.

    Raises:
        OutputError: the target is a folder or a disk, or has a name that cannot be; or its folder does not exist or
            cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, seekable: bool = False) -> None:
        self.path = Path(path)
        self._temporary: Temporary | None = None
        self._stream: OutputStream | None = None
        target = find_target(self.path)
        if target is None:
            if seekable:
                raise OutputError(f"{self.path}: this is not a regular file, and what is written there must be one")
            self._stream = open_stream(self.path)
            return
        self._target = target
        folder = self._target.parent
        _check_folder(self.path, folder)
        try:
            self._temporary = Temporary(self._target)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot write in {folder}: {error.strerror}; choose another place"
            ) from error

    @property
    def temporary(self) -> Path:
        """The file to write into until `commit`. Not of a stream."""
        assert self._temporary is not None
        return self._temporary.path

    def open(self) -> BinaryIO:
        """The file to write into, or the stream."""
        return self._stream or self.temporary.open("wb")

    def write(self, content: bytes) -> None:
        """Write all of it.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        try:
            with self.open() as file:
                file.write(content)
        except OSError as error:
            raise self.failure(error) from error

    def failure(self, error: OSError) -> OutputError:
        """The error for what went wrong while writing."""
        return OutputError(f"{self.path}: writing failed: {error.strerror or error}; is the disk full?")

    def commit(self) -> None:
        """Give the temporary file the target's name.

        Raises:
            OutputError: something else has taken the name meanwhile.
        """
        if self._temporary is not None:
            self._rename(self._target)

    def keep(self, size: int) -> Path | None:
        """After an error: keep so many bytes as `<name>.partial`; a stream has them already.

        Raises:
            OutputError: it cannot be renamed.
        """
        if self._temporary is None or not size:
            self.discard()
            return None
        kept = partial_name(self._target)
        try:
            with shielded():
                os.truncate(self.temporary, size)
                self._rename(kept)
        except OSError as error:  # somebody has removed it
            raise OutputError(f"{kept}: cannot be written: {error.strerror}") from error
        finally:
            self.discard()
        return kept if self.path.is_symlink() else self.path.with_name(kept.name)

    def discard(self) -> None:
        """Remove the temporary file. Harmless when called twice, or after `commit`."""
        if self._temporary is not None:
            self._temporary.remove()
        self.abandon()

    def abandon(self) -> None:
        """After an error: close a stream without waiting for its reader; nothing of a file."""
        if self._stream is not None:
            self._stream.abandon()

    def _rename(self, name: Path) -> None:
        assert self._temporary is not None
        try:
            with shielded():
                os.replace(self._temporary.path, name)
                self._temporary.release()
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror}; choose another name") from error


def make_folder(folder: Path, what: str = "folder", *, parents: bool = True) -> None:
    """Make a folder for outputs, where it is not there yet.

    Args:
        folder: to make.
        what: it is, for messages.
        parents: make the folders that it lies in, too.

    Raises:
        OutputError: it cannot be made, or has the name of a file.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot make the {what} {folder}: {reason}; choose another place") from error


def find_target(path: Path) -> Path | None:
    """The regular file to make or replace, links followed; None for what is written to as it is.

    Raises:
        OutputError: this is a folder; its name is too long; a folder before it cannot be searched; it is a relative
            path, and the working folder is gone.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written: {reason}; choose another name or place") from error
    if found is not None and is_stream(path, found):
        return None
    return real_path(path)


def check_places(*paths: Path | None) -> None:
    """See, before any work, that outputs lie in folders that are there; what writes them looks closer.

    Args:
        paths: files or folders to make, links followed; None for an output that is not asked for.

    Raises:
        OutputError: the folder of one is not there; and see `real_path`.
    """
    for path in paths:
        if path is not None and not os.path.exists(path):
            _check_folder(path, real_path(path).parent)


def real_path(path: Path) -> Path:
    """An absolute path, links followed. It need not exist.

    Raises:
        OutputError: it is a relative one, and the working folder is gone; or a name that no file has.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError as error:  # of the working folder: all else need not exist
        raise OutputError(f"{path}: the working folder does not exist any more; give an absolute path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte
        raise OutputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def partial_name(path: Path) -> Path:
    """`<name>.partial` in the same folder, see `fitting`."""
    return path.with_name(fitting(path.name, PARTIAL))


def fitting(name: str, suffix: str) -> str:
    """A file name with a suffix; of a name that leaves no room for it, the beginning and a hash."""
    encoded = os.fsencode(name)
    if len(encoded) + len(os.fsencode(suffix)) <= _LONGEST_NAME:
        return name + suffix
    mark = f"-{sha256(encoded).hexdigest()[:12]}{suffix}"
    room = _LONGEST_NAME - len(os.fsencode(mark))
    return encoded[:room].decode(errors="ignore") + mark


def _check_folder(path: Path, folder: Path) -> None:
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # a folder before it cannot be searched
        raise OutputError(f"{path}: {folder} cannot be used: {error.strerror}; choose another place") from error
    if not is_folder:
        raise OutputError(f"{path}: {folder} is not a folder that exists; create it or choose another place")


def _discard(writer: OutputWriter, error: BaseException) -> None:
    try:
        if kept := writer.discard():
            error.add_note(f"the results until then are in {kept}")
    except OutputError as failure:  # what went wrong first is what counts
        error.add_note(f"the results until then are not kept: {failure}")
