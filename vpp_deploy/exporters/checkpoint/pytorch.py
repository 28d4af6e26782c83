"""PyTorch's own containers: zip files, and what `torch.save` wrote before version 1.6."""

from __future__ import annotations

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from torch import Tensor

from vpp_deploy.exporters.checkpoint.pickles import Interpreter
from vpp_deploy.exporters.checkpoint.records import Object, Storage, TensorRecord, UnreadableError, as_mapping
from vpp_deploy.exporters.checkpoint.storages import (
    Container,
    Stretch,
    Stretches,
    element_size,
    read_bytes,
)
from vpp_deploy.files.limits import in_bytes

MAX_PICKLE: Final = 128 << 20
"""Bytes of the pickle in a zip file."""
UNPACKED_FACTOR: Final = 20
UNPACKED_FLOOR: Final = 64 << 20
"""What a zip file may unpack to: so many times its own size, or so many bytes."""
MAX_DIRECTORY: Final = 16 << 20
"""Bytes of the list of entries in a zip file."""
_LOCAL_HEADER: Final = struct.Struct("<4s22sHH")
_MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION: Final = 1001


@dataclass(frozen=True)
class Saved:
    """What `torch.save` saved.

    Attributes:
        content: records, see `pickles`.
        container: of the storages.
        foreign: names of what unpickling would have imported; some of them, if there are many.
    """

    content: Any
    container: Container
    foreign: tuple[str, ...]


def read_zip(file: BinaryIO) -> Saved:
    """Read a zip file as PyTorch writes them since version 1.6.

    Raises:
        UnreadableError: it is damaged, unpacks to too much, or is no such file.
    """
    size = file.seek(0, io.SEEK_END)
    _check_directory(file, size)
    with _zip_errors():
        archive = zipfile.ZipFile(file)  # left open: storages are read later
        entries = {entry.filename.replace("\\", "/"): entry for entry in archive.infolist()}  # as Windows packs them
        unpacked, most = sum(entry.file_size for entry in entries.values()), max(UNPACKED_FLOOR, UNPACKED_FACTOR * size)
        if unpacked > most:
            raise UnreadableError(
                f"is a zip file of {in_bytes(size)} that unpacks to {in_bytes(unpacked)}, which no checkpoint "
                f"does (at most {in_bytes(most)})"
            )
        prefix = _prefix(entries)
        pickled = entries[f"{prefix}data.pkl"]
        if pickled.file_size > MAX_PICKLE:
            raise UnreadableError(f"has a pickle of {in_bytes(pickled.file_size)} beside its tensors")
        with io.BytesIO(_read_entry(file, archive, pickled, 0, pickled.file_size).numpy().tobytes()) as data:
            interpreter = Interpreter(data)
            content = interpreter.run()
        order = entries.get(f"{prefix}byteorder")
        is_big_endian = order is not None and order.file_size == 3 and archive.read(order) == b"big"
        return Saved(content, _Zipped(file, archive, prefix, entries, is_big_endian), tuple(interpreter.foreign))


def read_legacy(file: BinaryIO) -> Saved:
    """Read what `torch.save` wrote before version 1.6: five pickles, then the storages.

    Raises:
        UnreadableError: it is damaged, or is no such file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if Interpreter(file).run() != _MAGIC_NUMBER:
        raise UnreadableError("is a plain pickle, and not written by torch.save")
    version = Interpreter(file).run()
    if version != _PROTOCOL_VERSION:
        raise UnreadableError("is of an unknown version of PyTorch's format")
    Interpreter(file).run()  # sizes of C types on the machine that wrote it; storages are little-endian on all
    storages: dict[str, Storage] = {}
    interpreter = Interpreter(file, storages)
    content = interpreter.run()
    keys = Interpreter(file).run()
    if not isinstance(keys, list):
        raise UnreadableError("does not list its storages")
    stretches: dict[str, Stretch] = {}
    for key in keys:
        header = file.read(8)
        if len(header) != 8 or not isinstance(key, str) or key not in storages:
            raise UnreadableError("is cut short" if len(header) != 8 else "lists storages that it does not have")
        count, start = int.from_bytes(header, "little", signed=True) * element_size(storages[key]), file.tell()
        if count < 0 or start + count > size:
            raise UnreadableError("is cut short")
        stretches[key] = Stretch(start, count)
        file.seek(start + count)
    return Saved(content, Stretches(file, stretches), tuple(interpreter.foreign))


class _Zipped:
    """Storages in a zip file, packed or not."""

    def __init__(
        self,
        file: BinaryIO,
        archive: zipfile.ZipFile,
        prefix: str,
        entries: dict[str, zipfile.ZipInfo],
        is_big_endian: bool,
    ) -> None:
        self._file, self._archive, self._prefix, self._entries = file, archive, prefix, entries
        self.is_big_endian = is_big_endian

    def size(self, key: str) -> int:
        return self._entry(key).file_size

    def read(self, key: str, start: int, stop: int) -> Tensor:
        with _zip_errors():
            return _read_entry(self._file, self._archive, self._entry(key), start, stop)

    def _entry(self, key: str) -> zipfile.ZipInfo:
        for folder in ("data", "tensors"):  # the latter in files of PyTorch 1.4 and 1.5
            if (entry := self._entries.get(f"{self._prefix}{folder}/{key}")) is not None:
                return entry
        raise UnreadableError("has a tensor without numbers")


def _read_entry(file: BinaryIO, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, start: int, stop: int) -> Tensor:
    if entry.flag_bits & 1:
        raise UnreadableError("is an encrypted zip file")
    if entry.compress_type == zipfile.ZIP_STORED:
        file.seek(entry.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise UnreadableError("is a damaged zip file")
        _, _, name, extra = _LOCAL_HEADER.unpack(header)
        # PyTorch can be told to store no checksums, and does not look at them itself.
        stretch = Stretch(entry.header_offset + _LOCAL_HEADER.size + name + extra, entry.file_size, entry.CRC or None)
        return Stretches(file, {"": stretch}).read("", start, stop)
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise UnreadableError("is a zip file that is packed in a way that PyTorch does not know")
    with archive.open(entry) as packed:
        packed.seek(start)
        return read_bytes(packed, stop - start)


def _prefix(entries: dict[str, zipfile.ZipInfo]) -> str:
    """The folder in a zip file that holds PyTorch's files."""
    found = [name.removesuffix("data.pkl") for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if not found:
        kind = "a zip file without weights of PyTorch"
        if any(name.endswith(".npy") for name in entries):
            kind = "a NumPy .npz file"
        elif any("saved_model" in name or name.endswith((".h5", "config.json")) for name in entries):
            kind = "a zip file of another library (Keras?)"
        raise UnreadableError(f"is {kind}; save the model's state_dict() with torch.save")
    prefix = min(found, key=len)
    if f"{prefix}constants.pkl" in entries:
        raise UnreadableError("is a TorchScript program; save the model's state_dict() with torch.save")
    return prefix


def _check_directory(file: BinaryIO, size: int) -> None:
    """Hold the list of a zip file's entries to a size before it is read."""
    start = max(0, size - (1 << 16) - 22)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise UnreadableError("is a PyTorch zip file that is cut short (an incomplete download or copy?)")
    declared = int.from_bytes(tail[end + 12 : end + 16], "little")
    if tail[max(0, end - 20) : end].startswith(b"PK\6\7") and start + end >= 76:
        file.seek(start + end - 76)
        declared = max(int.from_bytes(file.read(48)[40:48], "little"), 0 if declared == 2**32 - 1 else declared)
    if declared > MAX_DIRECTORY:
        raise UnreadableError("is a zip file with far more entries than a checkpoint has")
    file.seek(0)


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise UnreadableError(f"is a damaged zip file ({str(error)[:200]})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise UnreadableError("is a damaged zip file (it refers to places outside itself)") from error
    except (ValueError, struct.error, OverflowError, RuntimeError) as error:
        raise UnreadableError(f"is a damaged zip file ({type(error).__name__})") from error


def describe(content: Any) -> str:
    """What a file holds instead of a dictionary, for a message."""
    if isinstance(content, TensorRecord):
        return "a Tensor"
    if isinstance(content, Object):
        state = as_mapping(content)
        if state is not None and "_modules" in state:
            return (
                f"a whole model of the class {str(content.maker)[:100]}, whose code is not run: save its state_dict()"
            )
        return f"an object of {str(content.maker)[:100]}"
    return f"a {type(content).__name__}"
