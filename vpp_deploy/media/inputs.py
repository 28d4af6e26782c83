"""Several inputs: what patterns and lists name, and what to call that which is made of each."""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.files.outputs import fitting
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.media.image_folder_reader import natural_order
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.location import STANDARD_INPUT, Kind, camera_number, kind_of
from vpp_deploy.media.probe import is_still

LIST_SUFFIX: Final = ".txt"
"""Of a file that names inputs, one a line."""
_LONGEST_LIST: Final = 64_000_000
_UNFIT: Final = re.compile(r"[^\w.+=-]+")
"""What a file name should not hold, although an address does."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was named.

    Attributes:
        locations: paths, addresses, cameras, `-`; at least one.
        several: they were named as several, be it by a pattern that finds one: outputs are folders then.
    """

    locations: Sequence[str]
    several: bool


def find_inputs(given: Sequence[str]) -> Inputs:
    """The inputs behind words: themselves, the files that a pattern (`*`, `?`, `[…]`, `**`) finds, the lines of a list.

    A list is a `.txt` file with one input a line, whose relative paths begin at the list's folder; empty lines and
    those that begin with `#` are left out. What exists under a name is never taken for a pattern.

    Raises:
        VideoError: a pattern or list without an input, or a list that cannot be read.
        UsageError: standard input more than once.
    """
    found = [location for word in given for location in _expand(word)]
    if found.count(STANDARD_INPUT) > 1:
        raise UsageError(f"{STANDARD_INPUT} is given {found.count(STANDARD_INPUT)} times, and can be read once")
    return Inputs(found, len(given) > 1 or found != list(given))


def one_input(source: str | os.PathLike[str] | int, *, together: bool = False) -> InputFile:
    """The input that a program gave, where there can be one.

    Args:
        source: see `InputFile`; a pattern or a list that names one input; or an `InputFile`, which stays as it is.
        together: pictures have nothing to do with each other, so that several may be named.

    Raises:
        UsageError: several are named, or it is something else.
        VideoError: see `find_inputs`.
    """
    if isinstance(source, bool) or not isinstance(source, InputFile | int | str | os.PathLike):
        raise UsageError(
            f"source is of type {type(source).__name__}; give a path, an address, a camera's number or an InputFile; "
            "pictures in memory are for the model itself: model(picture)"
        )
    if isinstance(source, InputFile | int):
        return source if isinstance(source, InputFile) else InputFile(source)
    locations = find_inputs([os.fspath(source)]).locations
    if len(locations) > 1 and not (together and all(map(is_still, locations))):
        raise UsageError(
            f"{os.fspath(source)} names {len(locations)} inputs, and each is a stream of its own; go through "
            "media.find_inputs([…]).locations"
        )
    return InputFile(locations[0], further=locations[1:])


def is_list(word: str) -> bool:
    """Whether a word names a file that lists inputs."""
    return word.lower().endswith(LIST_SUFFIX) and kind_of(word) is Kind.PATH and os.path.isfile(word)


def read_list(path: str) -> Iterator[str]:
    """The inputs that a list names, patterns expanded.

    Raises:
        VideoError: it cannot be read, names another list, or a pattern in it finds nothing.
    """
    folder = os.path.dirname(path)
    content = read_bytes(Path(path), VideoError, what="list of inputs", limit=_LONGEST_LIST)
    for line in lines_of(content):
        beside = os.path.join(folder, line)
        is_path = os.path.lexists(beside) or (line != STANDARD_INPUT and kind_of(line) is Kind.PATH)
        if is_path and is_list(beside):
            raise VideoError(f"{path}: it names another list, {line:.200}; write that one's lines here, or give both")
        yield from _matches(beside) if is_path else [line]


def lines_of(content: bytes) -> Iterator[str]:
    """The lines of a list but for empty ones and comments (`#`), however an editor ends lines or begins a file."""
    for raw in content.removeprefix(codecs.BOM_UTF8).splitlines():
        line = os.fsdecode(raw).strip()
        if line and not line.startswith("#"):
            yield line


def output_names(locations: Iterable[str]) -> list[str]:
    """A name without extension for what is made of each input: a file's own, and no two alike.

    A path gives the name of the file or folder, an address host and path, a camera its number. The second of a name
    gets `-2`, and so on.
    """
    names: list[str] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for location in locations:
        plain = name = _own_name(location)
        number = numbers.get(plain, 1)
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        numbers[plain] = number
        taken.add(name.casefold())
        names.append(name)
    return names


def _own_name(location: str) -> str:
    kind = kind_of(location)
    if kind is Kind.STANDARD_INPUT:
        return "stdin"
    if kind is Kind.CAMERA:
        return f"camera-{camera_number(location)}"
    if kind is Kind.PATH:
        path = Path(os.path.abspath(location))
        name = path.name if path.is_dir() else path.stem
        return name or "root"
    address = location.partition("://")[2].partition("?")[0].rpartition("@")[2]
    return fitting(_UNFIT.sub("-", address).strip("-.") or "stream", "")


def _expand(word: str) -> Iterator[str]:
    if is_list(word):
        listed = list(read_list(word))
        if not listed:
            raise VideoError(f"{word}: this list names no input; write one a line")
        yield from listed
    elif kind_of(word) is Kind.PATH:
        yield from _matches(word)
    else:
        yield word


def _matches(path: str) -> Sequence[str]:
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    try:
        found = glob.glob(path, recursive=True)
    except (OSError, ValueError, re.error) as error:  # a NUL byte
        raise VideoError(f"{path}: this pattern cannot be searched for: {error}; check it") from error
    if not found:
        raise VideoError(f"{path}: no file has a name of this pattern; check it, and that it is quoted as it is meant")
    return sorted(found, key=natural_order)
