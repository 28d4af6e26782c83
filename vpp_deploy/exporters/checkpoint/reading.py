"""Reads the weights of a checkpoint, whatever it is called and however it is packed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import safetensors
import safetensors.torch
from torch import Tensor

from vpp_deploy.bundle.external_data import GRAPH_PREFIX
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import WeightsProvenance
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import kinds, shards
from vpp_deploy.exporters.checkpoint.choosing import choose
from vpp_deploy.exporters.checkpoint.pytorch import read_legacy, read_zip
from vpp_deploy.exporters.checkpoint.records import CheckpointFile, UnreadableError
from vpp_deploy.exporters.checkpoint.storages import read_tensors
from vpp_deploy.exporters.sources import no_such_file
from vpp_deploy.files.names import utf8_name
from vpp_deploy.files.reading import regular_file


def read_checkpoint(source: Path | CheckpointFile) -> dict[str, Tensor]:
    """The weights in a checkpoint by name. Its content decides how it is read, not its name; no code in it is run.

    Args:
        source: a file of `safetensors` or `torch.save` (also of before PyTorch 1.6): a dictionary of tensors, or one
            that holds it under a familiar key (`state_dict`, `model`, ...). Or the index of a checkpoint in several
            files, its folder, or one of the files.

    Raises:
        CheckpointError: missing, damaged or unknown file; it holds no weights, not those that are wanted, or tensors
            that are not plain (sparse, quantised, ...).
    """
    file = source if isinstance(source, CheckpointFile) else CheckpointFile(source)
    with _told_of(file):
        return _read(file)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of one safetensors file; nothing else is read, whatever is in it or lies beside it.

    Raises:
        CheckpointError: it cannot be read.
    """
    with _told_of(path):
        with _open(path) as file:
            size, head = os.fstat(file.fileno()).st_size, file.read(kinds.HEAD)
        if kinds.kind_of(head, size) != kinds.SAFETENSORS:
            raise UnreadableError("is not a safetensors file")
        return _read_safetensors(path, size, head, None)


def weights_of(bundle: Bundle) -> dict[str, Tensor]:
    """The model's tensors in a bundle's weights file, by name; constants of the graphs left out.

    Raises:
        CheckpointError: the file cannot be read.
    """
    tensors = read_safetensors(bundle.weights_path)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(GRAPH_PREFIX)}


def fingerprint(path: Path) -> str:
    """The SHA-256 of a checkpoint; of one in several files, that of their lines `SHA-256  name`, by name.

    Raises:
        CheckpointError: it cannot be read.
    """
    with _told_of(path):
        files = _files(path)
        if list(files) == [path]:
            return sha256_of_file(path)
        lines = sorted(f"{sha256_of_file(file)}  {file.name}\n" for file in files)
        return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


def checkpoint_record(path: Path) -> WeightsProvenance:
    """What a manifest says of a checkpoint.

    Raises:
        CheckpointError: it cannot be read.
    """
    name = printable(path.name or path.resolve().name)
    return WeightsProvenance(kind="checkpoint", name=name, sha256=fingerprint(path))


def printable(name: str) -> str:
    """A file's name as text that every file and terminal takes: bytes that are no UTF-8 and controls as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


@contextmanager
def _told_of(file: Path | CheckpointFile) -> Iterator[None]:
    """Whatever cannot be read in the block is told of a checkpoint."""
    try:
        yield
    except UnreadableError as error:
        raise CheckpointError(f"checkpoint {file}: {error}") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"checkpoint {file}: cannot be read ({reason})") from error


def _read(file: CheckpointFile) -> dict[str, Tensor]:
    files = _files(file.path)
    if list(files) == [file.path]:
        if not (found := _read_file(file.path, file)):
            raise UnreadableError("holds no tensors")
        return found
    if len(files) > 1:
        file.note(f"checkpoint {file}: read with all {len(files)} of its files")
    tensors: dict[str, Tensor] = {}
    for path, names in files.items():
        try:
            found = _read_file(path, replace(file, path=path))
            _join(tensors, found, names)
        except UnreadableError as error:
            raise UnreadableError(f"its file {path.name} {error}") from error
    return tensors


def _join(tensors: dict[str, Tensor], found: Mapping[str, Tensor], names: set[str] | None) -> None:
    if names is not None and (absent := sorted(names - found.keys())):
        raise UnreadableError(f"lacks {len(absent)} tensors that the index says are in it: {', '.join(absent[:3])}")
    if twice := sorted(tensors.keys() & found.keys()):
        raise UnreadableError(f"holds tensors that are in another file too: {', '.join(twice[:3])}")
    tensors.update(found)


def _files(path: Path) -> Mapping[Path, set[str] | None]:
    """The files of a checkpoint, and the tensors that should be in each, where an index says so."""
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        path = shards.in_folder(path)
        mode = _mode(path)
    if not stat.S_ISREG(mode):
        raise UnreadableError("is not a regular file")
    beside = shards.shards_beside(path)
    if isinstance(beside, dict):
        return beside
    path = beside or path
    with _open(path) as file:
        is_json = kinds.kind_of(file.read(kinds.HEAD), 0) == kinds.JSON
    return shards.shards_by_index(path) if is_json else {path: None}


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableError(no_such_file(path)) from error
    except ValueError as error:
        raise UnreadableError("no file can have this name") from error


def _open(path: Path) -> BinaryIO:
    if (file := regular_file(path)) is None:
        raise UnreadableError("is not a regular file")
    return file


def _read_file(path: Path, choice: CheckpointFile) -> dict[str, Tensor]:
    with _open(path) as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(kinds.HEAD)
        kind = kinds.kind_of(head, size)
        if kind == kinds.SAFETENSORS:
            return _read_safetensors(path, size, head, choice.weights)
        if kind not in (kinds.ZIP, kinds.LEGACY):
            foreign = kinds.foreign_kind(head)
            raise UnreadableError(
                f"is {foreign}"
                if foreign is not None
                else "is neither a safetensors file nor one that torch.save wrote (garbage, or damaged)"
            )
        saved = (read_zip if kind == kinds.ZIP else read_legacy)(file)
        chosen = choose(saved, choice.weights, choice.option)
        tensors = read_tensors(chosen.tensors, saved.container)
    if chosen.note is not None:
        choice.note(f"checkpoint {choice}: {chosen.note}")
    return tensors


def _read_safetensors(path: Path, size: int, head: bytes, wanted: str | None) -> dict[str, Tensor]:
    if wanted not in (None, "raw"):
        raise UnreadableError(f"has no weights {wanted!r}: a safetensors file holds one set of weights")
    if 8 + int.from_bytes(head[:8], "little") > size:
        raise UnreadableError("is a safetensors file that is cut short (an incomplete download or copy?)")
    try:
        with utf8_name(path) as known:
            tensors = safetensors.torch.load_file(known)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        if "incomplete" in reason.lower() or "too large" in reason.lower():
            reason += "; cut short?"
        raise UnreadableError(f"is not a readable safetensors file ({reason})") from error
    return tensors
