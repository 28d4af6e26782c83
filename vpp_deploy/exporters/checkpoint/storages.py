"""Tensors of records: reads the numbers that are needed, and only those, out of a container."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO, Final, Protocol

import torch
from torch import Tensor

from vpp_deploy.exporters.checkpoint.rebuild import STORAGE_TYPES
from vpp_deploy.exporters.checkpoint.records import Storage, TensorRecord, UnreadableError

_ALIGNMENT: Final = 16
_PIECE: Final = 1 << 20


class Container(Protocol):
    """Where storages lie."""

    is_big_endian: bool

    def size(self, key: str) -> int:
        """Bytes of a storage; UnreadableError if there is none of that key."""

    def read(self, key: str, start: int, stop: int) -> Tensor:
        """Some bytes of a storage, as uint8."""


def read_tensors(records: Mapping[str, TensorRecord], container: Container) -> dict[str, Tensor]:
    """The tensors of these records. Those that share a storage share it again.

    Raises:
        UnreadableError: the container does not have the numbers; some are no plain tensors of numbers (they are named).
    """
    odd = [f"{name} is {record.kind}" for name, record in records.items() if record.kind]
    if odd:
        rest = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        raise UnreadableError(f"holds tensors that are not plain weights: {', '.join(odd[:5])}{rest}")
    by_storage: dict[str, list[str]] = {}
    for name, record in records.items():
        assert record.storage is not None
        by_storage.setdefault(record.storage.key, []).append(name)
    made: dict[str, Tensor] = {}
    for key, names in by_storage.items():
        made.update(_tensors_on(key, {name: records[name] for name in names}, container))
    return {name: made[name] for name in records}


def _tensors_on(key: str, records: Mapping[str, TensorRecord], container: Container) -> Iterable[tuple[str, Tensor]]:
    filled = {name: record for name, record in records.items() if record.extent}
    for name in records.keys() - filled.keys():
        yield name, torch.empty(records[name].size, dtype=records[name].dtype)
    if not filled:
        return
    start = min(record.offset * record.dtype.itemsize for record in filled.values()) // _ALIGNMENT * _ALIGNMENT
    stop = max(record.extent * record.dtype.itemsize for record in filled.values())
    if stop > container.size(key):
        raise UnreadableError("has a tensor that reaches beyond its numbers")
    numbers = container.read(key, start, stop)
    if container.is_big_endian != (sys.byteorder == "big"):
        numbers = _swapped(numbers, filled)
    for name, record in filled.items():
        size = record.dtype.itemsize
        flat = numbers[record.offset * size - start : record.extent * size - start].view(record.dtype)
        yield name, flat.as_strided(record.size, record.stride)


def _swapped(numbers: Tensor, records: Mapping[str, TensorRecord]) -> Tensor:
    sizes = {record.dtype.itemsize // (2 if record.dtype.is_complex else 1) for record in records.values()}
    if len(sizes) != 1:
        raise UnreadableError("has big-endian numbers of several types in one place")
    (size,) = sizes
    padded = torch.zeros(-(-len(numbers) // size) * size, dtype=torch.uint8)
    padded[: len(numbers)] = numbers
    return padded.view(-1, size).flip(1).reshape(-1)


@dataclass
class Stretch:
    """A stretch of a file that holds one storage.

    Attributes:
        start, size: in bytes.
        checksum: CRC-32 of all of it; None if the file has none.
    """

    start: int
    size: int
    checksum: int | None = None


class Stretches:
    """Storages that lie in a file as they are.

    Args:
        file: open for reading, seekable.
        stretches: by the storages' keys.
        is_big_endian: how their numbers are written.
    """

    def __init__(self, file: BinaryIO, stretches: Mapping[str, Stretch], is_big_endian: bool = False) -> None:
        self._file, self._stretches, self.is_big_endian = file, stretches, is_big_endian

    def size(self, key: str) -> int:
        """See `Container`."""
        if key not in self._stretches:
            raise UnreadableError("has a tensor without numbers")
        return self._stretches[key].size

    def read(self, key: str, start: int, stop: int) -> Tensor:
        """See `Container`. A damaged storage shows if all of it is read."""
        stretch = self._stretches[key]
        self._file.seek(stretch.start + start)
        numbers = read_bytes(self._file, stop - start)
        if stretch.checksum is not None and stop - start == stretch.size:
            check(numbers, stretch.checksum)
        return numbers


def read_bytes(file: IO[bytes], count: int) -> Tensor:
    """The next bytes of a file, as uint8.

    Raises:
        UnreadableError: there are not as many.
    """
    numbers = torch.empty(count, dtype=torch.uint8)
    if count == 0:
        return numbers
    view, filled = numbers.numpy().data, 0
    while filled < count:
        piece = file.read(min(_PIECE, count - filled))
        if not piece:
            raise UnreadableError("is cut short")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    return numbers


def check(numbers: Tensor, checksum: int) -> None:
    """Hold bytes to a CRC-32.

    Raises:
        UnreadableError: they are others.
    """
    if zlib.crc32(numbers.numpy().data if len(numbers) else b"") != checksum:
        raise UnreadableError("is damaged: numbers in it do not have the checksum that they were stored with")


def element_size(storage: Storage) -> int:
    """Bytes of one number of a storage."""
    return STORAGE_TYPES[storage.type_name].itemsize
