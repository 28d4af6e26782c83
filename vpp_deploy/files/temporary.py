"""Files and folders in the making: under hidden names next to their target, and gone whatever ends the run.

A name says for which target it is, and whoever makes one holds a lock on it (`flock`) as long as it lives. So the next
run that writes the same target knows what a killed one left behind, removes it, and leaves what is alive alone.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

from vpp_deploy.files.interrupts import shielded

try:
    import fcntl
except ImportError:  # Windows: nothing can be told apart, so nothing is removed
    fcntl = None  # type: ignore[assignment]

_START: Final = ".vpp-"
_END: Final = ".partial"
_ATTEMPTS: Final = 100
_REST: Final = 1e-4
"""Seconds for each name in a folder until it is looked into again, some hundred times what a look takes: who writes
thousands of files there is not held up by looking.
"""
_MOST_LOOKS: Final = 64


def temporary_sibling(path: Path) -> Path:
    """A hidden, unused name in the folder of `path`, so that a rename to `path` stays on one file system.

    It is short and ASCII whatever the target's name is.
    """
    return path.parent / f"{_start(path.name)}{secrets.token_hex(6)}{_END}"


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one in the making, or what a killed run left."""
    return name.startswith(_START) and name.endswith(_END)


class Temporary:
    """A new file or folder that is to become `target`, locked by this process until it is removed or has its name.

    Making one removes what killed runs left behind of the same target.

    Attributes:
        path: where to write.

    Args:
        target: what it is to become; its folder must exist.
        folder: make a folder; otherwise an empty file.

    Raises:
        OSError: it cannot be made, or the target's name cannot be.
    """

    def __init__(self, target: Path, *, folder: bool = False) -> None:
        with suppress(FileNotFoundError):
            os.lstat(target)  # the temporary name is short; the target's may be too long
        sweep(target)
        self.path, self._lock = _made(target, folder)
        self._process = os.getpid()
        _living.add(self)

    def release(self) -> None:
        """It has its own name now, or is gone. Harmless when called twice."""
        _living.discard(self)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove whatever has the temporary name. Harmless when called twice, or after a rename."""
        if os.getpid() != self._process:  # a fork of the owner
            return
        with shielded():
            _remove(self.path)
            self.release()


_living: Final[set[Temporary]] = set()
_looks: Final[dict[Path, tuple[float, list[str]]]] = {}
"""By folder, until when it is not looked into again, and what was found."""


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder next to `target` to work in, which is gone after the block.

    Raises:
        OSError: it cannot be made.
    """
    temporary = Temporary(target, folder=True)
    try:
        yield temporary.path
    finally:
        temporary.remove()


def sweep(target: Path) -> None:
    """Remove what killed runs left behind of a target. What a living process holds stays."""
    start = _start(target.name)
    for name in _temporaries_in(target.parent):
        if name.startswith(start):
            _remove_if_dead(target.parent / name)


def is_dead(path: Path) -> bool:
    """Whether a temporary file or folder has no living owner, as far as that can be told."""
    with _locked(path) as free:
        return free


@contextmanager
def locked_folder(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock on a folder; without effect where there are no locks.

    Args:
        folder: which.
        wait: until it is free.

    Raises:
        BlockingIOError: somebody else holds it, and is not waited for.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if wait:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        elif not lock_now(descriptor):
            raise BlockingIOError(f"{folder} is locked")
        yield
    finally:
        os.close(descriptor)


def _temporaries_in(folder: Path) -> list[str]:
    """Names of what is in the making in a folder, or was. Of a large one as of a moment ago, see `_REST`."""
    folder = folder.absolute()
    until, found = _looks.get(folder, (0.0, []))
    if monotonic() < until:
        return found
    try:
        names = os.listdir(folder)
    except OSError:  # whoever writes there says why it cannot
        return []
    if len(_looks) >= _MOST_LOOKS:
        _looks.clear()
    found = list(filter(is_temporary, names))
    _looks[folder] = monotonic() + _REST * len(names), found
    return found


def _start(name: str) -> str:
    return f"{_START}{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}-"


def _made(target: Path, folder: bool) -> tuple[Path, int | None]:
    for _ in range(_ATTEMPTS):
        path = temporary_sibling(target)
        with shielded():
            if folder:
                path.mkdir()
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # another process took it for left behind before it was locked
                continue
            if lock_now(descriptor) and is_at(path, descriptor):
                return path, descriptor
            os.close(descriptor)
    raise FileExistsError(f"no temporary name is free in {target.parent}")


def lock_now(descriptor: int) -> bool:
    """Whether this process has the lock now; True too where the file system has none."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file has this name still."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock of a file or folder was free, and is held in the block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a link, gone already, or somebody else's
        yield False
        return
    try:
        if fcntl is None:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is alive, or nobody can tell
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _remove_if_dead(path: Path) -> None:
    with _locked(path) as free:
        if free:
            _remove(path)


def _remove(path: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return
    if is_folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # the next run tries again
            path.unlink()


def _remove_living() -> None:
    for temporary in list(_living):
        temporary.remove()


atexit.register(_remove_living)
