"""What one task of a batch is made of: a video, or pictures of one folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media.image_folder_reader import natural_order
from vpp_deploy.media.kinds import IMAGE_SUFFIXES

VIDEO_SUFFIXES: Final = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
)
"""Names of files that a search takes for videos; a file that is named itself may have any name."""
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a corpus.

    Attributes:
        location: its path, or its URL.
        name: relative to the corpus, with `/` between its parts.
        size: in bytes; -1 where there is no such file.
        version: changes when its content does: time of the last change, or the store's tag.
        named: a user named it, so that it is not left out for its name.
    """

    location: str
    name: str
    size: int
    version: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One task of a batch.

    Attributes:
        name: unique in the corpus; results have it.
        files: a video, or pictures in their order.
        pictures: whether they are pictures of one folder.
        whole: of pictures: whether they are all that the folder has.
        prefix: of pictures that have nothing to do with each other: their folder, with which their names begin.
    """

    name: str
    files: tuple[SourceFile, ...]
    pictures: bool = False
    whole: bool = False
    prefix: str = ""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(max(0, file.size) for file in self.files)


def make_items(files: Iterable[SourceFile], shard: int | None) -> tuple[list[Item], str | None]:
    """The tasks that a corpus's files make, in natural order of their names, and what was left out, in words.

    Args:
        files: of the corpus.
        shard: the most pictures of a folder that are one task; None takes those of a folder as one video.

    Raises:
        UsageError: two would have the same name.
    """
    items: list[Item] = []
    pictures: dict[str, list[SourceFile]] = {}
    others: Counter[str] = Counter()
    for file in files:
        name = _within(file.name)
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            pictures.setdefault(str(PurePosixPath(name).parent), []).append(file)
        elif file.named or suffix in VIDEO_SUFFIXES:
            items.append(Item(name, (file,)))
        else:
            others[suffix or "without extension"] += 1
    for folder, found in pictures.items():
        items += _of_folder(folder, found, shard)
    items.sort(key=lambda item: natural_order(item.name))
    counts = Counter(item.name for item in items)
    if doubled := [name for name, count in counts.items() if count > 1]:
        raise UsageError(f"{doubled[0]!r:.200} is in the corpus {counts[doubled[0]]} times; its results have one place")
    left_out = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(_NAMED))
    return items, f"left out {left_out}" if left_out else None


def _of_folder(folder: str, found: Sequence[SourceFile], shard: int | None) -> Iterator[Item]:
    name, prefix = ("pictures", "") if folder == "." else (folder, f"{folder}/")
    ordered = sorted(found, key=lambda file: natural_order(PurePosixPath(file.name).name))
    if shard is None:
        yield Item(name, tuple(ordered), pictures=True, whole=not any(file.named for file in ordered))
        return
    for start in range(0, len(ordered), shard):
        yield Item(f"{name}/pictures-{start:06d}", tuple(ordered[start : start + shard]), pictures=True, prefix=prefix)


def no_items(corpus: str, left_out: str | None) -> VideoError:
    """The error for a corpus in which there is nothing to run."""
    what = f" ({left_out})" if left_out else ""
    known = ", ".join(suffix[1:] for suffix in VIDEO_SUFFIXES)
    return VideoError(f"{corpus}: no videos and no images in this corpus{what}; videos are files of {known}")


def natural_name(path: str) -> str:
    """The name in a corpus of a file that is given by its path or URL alone."""
    if "://" in path:
        return path.partition("://")[2]
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(os.path.abspath(path).split("/")[1:] if ".." in parts else parts)


def _within(name: str) -> str:
    """A name whose path stays in the folder of results, and is no other's: keys of a store may be `../x` and `a//b`."""
    return "/".join("%2E" * len(part) if part in (".", "..") else part or "%" for part in name.split("/"))
