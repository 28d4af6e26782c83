"""Names of classes from a text file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vpp_deploy.errors import ConfigError
from vpp_deploy.files.reading import read_bytes

_MOST_BYTES: Final = 16_000_000


def labels_of(given: Path | str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of classes, from a file or as they are; None if none were given.

    Raises:
        ConfigError: see `read_labels`; or what was given holds other things than names.
    """
    if given is None:
        return None
    if isinstance(given, str | Path):
        return read_labels(Path(given))
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"labels are {given!r:.80}; give a file, or the names of the classes in a list")
    return tuple(given)


def read_labels(path: Path) -> tuple[str, ...]:
    """One name per line, in the order of the classes. Names may repeat: some of ImageNet's do.

    Raises:
        ConfigError: the file cannot be read, is empty or not UTF-8, or a line is blank or holds
            characters that cannot be printed.
    """
    data = read_bytes(path, ConfigError, what="labels", limit=_MOST_BYTES)
    try:
        text = data.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"labels {path}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    if not text:
        raise ConfigError(f"labels {path}: the file is empty; give one name per line")
    names = [line.strip() for line in text.split("\n")]
    for number, name in enumerate(names, start=1):
        if not name:
            raise ConfigError(f"labels {path}: line {number} is blank; give one name per line, one line per class")
        if not name.isprintable():
            raise ConfigError(
                f"labels {path}: line {number} holds characters that cannot be printed ({name!r:.60}); remove them"
            )
    return tuple(names)
