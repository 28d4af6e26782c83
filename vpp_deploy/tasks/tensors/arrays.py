"""An `.npz` file of arrays, read row by row: what it claims to hold is not what is allocated."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import VideoError
from vpp_deploy.files.reading import open_regular

_DAMAGED: Final = (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_MOST_TURNED: Final = 2**30
"""Bytes of an array in Fortran's order, whose rows are not together, so that it is read as a whole."""
_HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Column:
    """One array of the file.

    Attributes:
        shape: with the number of rows first.
        dtype: of its values.
        fortran: whether it is stored in Fortran's order.
        file: where its values begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    file: IO[bytes]

    def rows(self) -> Iterator[Array]:
        """Each row, `shape[1:]`.

        Raises:
            ValueError: the array ends too soon, or is too large to be turned.
        """
        count, shape = self.shape[0], self.shape[1:]
        if self.fortran:
            if (size := math.prod(self.shape) * self.dtype.itemsize) > _MOST_TURNED:
                raise ValueError(f"an array of {size} bytes in Fortran's order; store it in C's order")
            yield from np.frombuffer(self._read(size), self.dtype).reshape(self.shape, order="F")
            return
        size = math.prod(shape) * self.dtype.itemsize
        for _ in range(count):
            yield np.frombuffer(self._read(size), self.dtype).reshape(shape)

    def _read(self, size: int) -> bytearray:
        content = bytearray(self.file.read(size))  # which numpy and PyTorch may write to
        if len(content) < size:
            raise ValueError("an array ends too soon")
        return content


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, Column]]:
    """The arrays of a file by name; their rows are read as they are asked for.

    Raises:
        VideoError: it is no such file, or holds Python objects. Also for what goes wrong in the `with` block.
    """
    if not path.exists():
        raise VideoError(f"{path}: no such file")
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open_regular(path, VideoError, what="file of arrays"))
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            members = [stack.enter_context(archive.open(name)) for name in archive.namelist()]
            yield {name: _column(member) for name, member in zip(names, members, strict=True)}
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
        raise VideoError(f"{path} cannot be read as a file of numpy arrays ({reason})") from error


def _column(file: IO[bytes]) -> Column:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of format {version[0]}.{version[1]}")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects, which are only read with allow_pickle: they can run code")
    return Column(shape, dtype, fortran, file)
