"""What a pickle in a checkpoint turns into: inert records. Nothing that the file names is imported or called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch


class UnreadableError(Exception):
    """A file, or a part of one, is not what it should be; the message goes on a sentence about the file."""


@dataclass(frozen=True)
class CheckpointFile:
    """A file or folder of weights, and which of them are wanted.

    Attributes:
        path: see `read_checkpoint`.
        weights: `raw`, `ema`, or the key of a dictionary of tensors in the file, `outer.inner` where it is nested; None
            for what the file's authors would load.
        note: called with a line about each decision that a user should know of.
        option: where a user says which weights are wanted; for messages.
    """

    path: Path
    weights: str | None = None
    note: Callable[[str], None] = lambda line: None
    option: str = "--weights"

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that a pickle names, and that stays a name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Opaque:
    """A value that nobody needs: bytes, long text, long numbers."""

    __slots__ = ()


OPAQUE: Final = Opaque()


class Object:
    """What a pickle would have made by calling something: what was called, with what, and what was put into it."""

    __slots__ = ("arguments", "items", "maker", "state")

    def __init__(self, maker: Any, arguments: Any = ()) -> None:
        self.maker = maker
        self.arguments = arguments
        self.items: dict[str, Any] | None = None
        self.state: Any = None


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers of tensors, still in the file.

    Attributes:
        key: under which the container has them.
        type_name: PyTorch's name of the storage class, such as `FloatStorage`.
        location: the device that they were on.
        start: where this view of them begins, in elements.
    """

    key: str
    type_name: str
    location: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor whose numbers are not read yet.

    Attributes:
        dtype: of its elements.
        size, stride, offset: its view of the storage, in elements.
        storage: None if it has no numbers.
        kind: why it is not a plain tensor of numbers, such as `sparse`; empty if it is one.
    """

    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage | None
    kind: str = ""

    @property
    def extent(self) -> int:
        """One beyond the last element that it needs of its storage; 0 if it is empty."""
        if 0 in self.size:
            return 0
        return self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """The entries of a dictionary of any class: a plain one, or an object that was filled, made or set with one."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Object):
        return None
    if value.items:
        return value.items
    if isinstance(value.arguments, tuple) and value.arguments:
        if isinstance(value.arguments[0], dict):
            return value.arguments[0]
        if isinstance(value.arguments[0], list):
            value.items = _taken_pairs(value.arguments[0])
            return value.items
    return value.state if isinstance(value.state, dict) else None


def _taken_pairs(values: list[Any]) -> dict[str, Any] | None:
    """An `OrderedDict` as Python 2 wrote it: made of a list of lists of two.

    The list is emptied: each makes one dictionary, so that no file can have the same one gone through again and again.
    """
    pairs, values[:] = list(values), []
    if not pairs or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        return None
    return {pair[0]: pair[1] for pair in pairs}
