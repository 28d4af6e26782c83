"""Images, such as those of a folder, as a video."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media.kinds import IMAGE_SUFFIXES
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pictures import PictureFile
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS, missing_decoder
from vpp_deploy.media.selection import ALL, Selection
from vpp_deploy.media.source import Picture

_EXTRA_KINDS: Final = {".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF"}
"""Kinds whose decoder may be missing, by suffix."""
_NAMED: Final = 3
"""Kinds or folders that a message names."""


class Images:
    """Image files as the frames of a video without time.

    Args:
        files: in the order of the frames.
        notes: what there is to say about them.
        max_pixels: the most that one may have.
        selection: which of them.
        prefix: what their names begin with.

    Raises:
        UsageError: they are to be chosen by time, which they do not have.
    """

    frame_rate: Fraction | None = None
    time_base: Fraction | None = None
    problem: str | None = None

    def __init__(
        self,
        files: Sequence[Path],
        notes: Notes | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        selection: Selection = ALL,
        prefix: str = "",
    ) -> None:
        if selection.timed:
            raise UsageError(f"{files[0]}: images have no times to choose by; leave start and end out, or use every")
        self.files = files[:: selection.every]
        self.frame_count: int | None = len(self.files)
        self._notes, self._max_pixels, self._prefix = notes or Notes(Path()), max_pixels, prefix

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say about the images and the files beside them."""
        return self._notes.lines

    def pictures(self) -> Iterator[Picture]:
        """Decode one image after the other, EXIF orientation applied.

        Raises:
            VideoError: an image is broken, has too many pixels, or is grey with more than 8 bits.
            DependencyError: there is no decoder for its kind.
        """
        for file, name in zip(self.files, names_of(self.files), strict=True):
            with PictureFile(file, self._max_pixels) as picture:
                image = picture.read(self._notes)
            yield Picture(image, name=self._prefix + name)

    def close(self) -> None:
        """Nothing to release: each image is closed after decoding."""


def names_of(files: Sequence[Path]) -> list[str]:
    """What pictures are called: their file names; where two have the same one, paths from the folder that has all."""
    names = [file.name for file in files]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([os.path.abspath(file.parent) for file in files])
    return [Path(os.path.relpath(file, common)).as_posix() for file in files]


def images_of(
    folder: Path,
    notes: Notes,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    selection: Selection = ALL,
    prefix: str = "",
) -> Images:
    """The images of a folder in natural order: `2.png` comes before `10.png`. Hidden files are left out.

    Args:
        folder: to read, without the folders in it.
        notes: are told what else is there.
        max_pixels: the most that an image may have.
        selection: which of them.
        prefix: what their names begin with.

    Raises:
        VideoError: the folder has no images, or cannot be listed.
        UsageError: they are to be chosen by time.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        files = [entry for entry in entries if entry.is_file()]
    except OSError as error:
        raise VideoError(f"{folder}: cannot list this folder: {error.strerror}; check its permissions") from error
    remedies = {suffix: found for suffix, kind in _EXTRA_KINDS.items() if (found := missing_decoder(kind))}
    readable = set(IMAGE_SUFFIXES) - set(remedies)
    images = [file for file in files if file.suffix.lower() in readable]
    others = sorted(set(entries) - set(images))
    suffixes = sorted({file.suffix.lower() for file in others} & set(remedies))
    remedy = "".join(f"; to read {suffix}, {remedies[suffix]}" for suffix in suffixes)
    if not images:
        raise VideoError(f"{folder}: no images in this folder{_instead(others)}{remedy}")
    if others:
        notes.add(f"left out {_counted(others)}{remedy}")
    return Images(sorted(images, key=lambda file: natural_order(file.name)), notes, max_pixels, selection, prefix)


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key in which runs of digits compare as numbers and letters without case."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def _instead(others: Sequence[Path]) -> str:
    """What is there in place of images, and what to give."""
    folders = [entry.name for entry in others if entry.is_dir()]
    if folders:
        named = ", ".join(folders[:_NAMED]) + (", …" if len(folders) > _NAMED else "")
        return f" itself, but folders ({named}), which are not searched; give one of them"
    if others:
        return f", but {_counted(others)}; give a video file, or a folder of {_readable()} files"
    return f"; give a video file, or a folder of {_readable()} files"


def _counted(entries: Sequence[Path]) -> str:
    """How many of which kinds, the most frequent first."""
    counts = Counter(_sort_of(entry) for entry in entries).most_common()
    shown = [f"{count} {sort}" for sort, count in counts[:_NAMED]]
    rest = sum(count for _, count in counts[_NAMED:])
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _sort_of(entry: Path) -> str:
    if entry.is_dir():
        return "folders"
    return (entry.suffix.lower() or "without extension") if entry.is_file() else "that are no regular files"


def _readable() -> str:
    return ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
