"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from vpp_deploy.files.interrupts import shielded
from vpp_deploy.files.temporary import Temporary, locked_folder, temporary_folder, temporary_sibling

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_CANNOT_EXCHANGE: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_ATTEMPTS: Final = 100


@contextmanager
def new_folder(target: Path, *, make_parent: bool = False) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A new folder to write into, and a function that gives it the target's name, see `replace_folder`.

    Whatever ends the block, nothing else stays. What killed runs left of the same target is removed first.

    Args:
        target: the folder that is to be.
        make_parent: make the folder that it lies in, if there is none; it goes again if nothing comes of it.

    Raises:
        OSError: nothing can be made there.
    """
    made = make_parent and not target.parent.exists()
    if made:
        target.parent.mkdir()
    try:
        recover_folder(target)
        temporary = Temporary(target, folder=True)

        def commit() -> None:
            with shielded():
                replace_folder(temporary.path, target)
                temporary.release()

        try:
            yield temporary.path, commit
        finally:
            temporary.remove()
    finally:
        if made:
            with suppress(OSError):  # it is in use
                target.parent.rmdir()


def replace_folder(source: Path, target: Path) -> None:
    """Give a complete folder its name. An older folder of that name is replaced as a whole; it stays if that fails.

    Where the system can exchange two names at once (Linux), there is a folder of that name at every moment, whoever
    looks, kills, or replaces it at the same time: the last one stays. Elsewhere there is none for an instant, a lock
    lets one process at a time do it, and `recover_folder` gives the older folder its name back after a kill.

    Raises:
        OSError: the folder cannot be renamed, or something that is no folder has the name.
    """
    with shielded():
        for _ in range(_ATTEMPTS):
            try:
                if not os.path.lexists(target):
                    os.rename(source, target)
                    return
                if not stat.S_ISDIR(os.lstat(target).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
                if _exchange(source, target):
                    shutil.rmtree(source, ignore_errors=True)
                    return
                _replace_in_two_steps(source, target)
            except OSError as error:  # another process was faster: look again
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and (
                    error.errno != errno.ENOENT or not os.path.lexists(source)
                ):
                    raise
                last = error
            else:
                return
        raise last


def check_room(folder: Path, size: int) -> None:
    """See that a file of so many bytes can still be written in a folder, where the system can tell (POSIX but macOS).

    Raises:
        OSError: it cannot, as on a full disk.
    """
    with temporary_folder(folder / "room") as place, (place / "file").open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, max(1, size))


def recover_folder(target: Path) -> None:
    """Give an older folder its name back, if a kill fell between the two steps of its replacement.

    Raises:
        OSError: the folder that holds it cannot be opened.
    """
    previous = _previous(target)
    if not os.path.lexists(previous):
        return
    with locked_folder(target.parent):
        if os.path.lexists(target):
            shutil.rmtree(previous, ignore_errors=True)
        elif os.path.lexists(previous):
            os.rename(previous, target)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write `path` under a temporary name; it gets its own name, replacing an older file, when the block succeeds.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    temporary = Temporary(path)
    try:
        with temporary.path.open("wb") as file:
            yield file
        with shielded():
            os.replace(temporary.path, path)
            temporary.release()
    finally:
        temporary.remove()


def _exchange(source: Path, target: Path) -> bool:
    """Exchange two names at once; False where the system or the file system cannot."""
    function = _renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(target))


@cache
def _renameat2() -> Any:
    """The C library's `renameat2`; None where it has none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


def _replace_in_two_steps(source: Path, target: Path) -> None:
    previous = _previous(target)
    recover_folder(target)
    with locked_folder(target.parent):
        os.rename(target, previous)
        try:
            os.rename(source, target)
        except BaseException:
            os.rename(previous, target)
            raise
        shutil.rmtree(previous, ignore_errors=True)


def _previous(target: Path) -> Path:
    """The name of an older folder between the two steps: always the same, so that it is found again."""
    return target.parent / f"{temporary_sibling(target).name.rpartition('-')[0]}.previous"
