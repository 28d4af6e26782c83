"""Pictures, or clips, whose class is known: a folder for each class, or a table of paths and labels."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vpp_deploy.errors import DatasetError, UsageError
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.media.image_folder_reader import natural_order
from vpp_deploy.media.kinds import IMAGE_SUFFIXES

VIDEO_SUFFIXES: Final = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
"""Names of files that are taken for clips in the folder of a class."""
_MOST_BYTES: Final = 400_000_000
_HEADER: Final = ("path", "label")
_NAMED: Final = 3
"""Classes that a message names."""
_LONGEST: Final = 60
"""Characters of a name in a message."""
IMAGE_NET: Final = "imagenet-1k"
BY_ORDER: Final = "by the order of the folders"
"""How classes were matched where nothing but their number says that they are the model's."""


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """What a classifier is evaluated on.

    Attributes:
        data: the folder or table.
        files: in the order in which they are run.
        labels: what each file is, as the data set calls it.
        classes: of the whole data set, whichever of its files are run: every label of a table, every folder, also one
            without a file.
        listed: all files of the data set, run or not.
        skipped: the files that are left out, see `name`, and why.
        keep_going: leave out files with a fault instead of raising.
        table: that says what the files are; None of folders of classes.
    """

    data: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    listed: tuple[Path, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    keep_going: bool = False
    table: Path | None = None

    @property
    def where(self) -> Path:
        """Where the classes are named."""
        return self.table or self.data

    def paths(self) -> Iterator[Path]:
        """The files of the data set."""
        return iter(self.listed)

    def name(self, number: int) -> str:
        """A file as reports call it: its path in the data set's folder; the whole path of one that is elsewhere."""
        return _name(self.data, self.files[number])


def open_pictures(
    data: Path | str,
    annotations: Path | str | None = None,
    *,
    limit: int | None = None,
    keep_going: bool = False,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> LabelledPictures:
    """Find the files and what they are; they are decoded when they are used.

    Args:
        data: a folder with a folder of files for each class (as torchvision's `ImageFolder` has it); or a table, see
            `annotations`, whose paths begin at the table's own folder.
        annotations: a table of the files in the folder `data`: CSV in UTF-8, `path,label` a line; or with a line of
            headings, `path` and `label` among them. None takes the folders for the classes.
        limit: only so many of the files, evenly spread over all of them; None takes all.
        keep_going: leave out files that are missing or cannot be decoded instead of raising.
        suffixes: names of files that count, in the folders of classes.

    Raises:
        UsageError: `limit` is below 1.
        DatasetError: there is no such folder or table, no file in it, a line that makes no sense, or a file with two
            labels.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}; evaluate at least 1 file")
    data = Path(data)
    if annotations is not None and not os.path.isdir(data):
        raise DatasetError(
            f"{data} is no folder, and the paths in {annotations} begin at one: give that folder, or no annotations"
        )
    table = Path(annotations) if annotations is not None else None if os.path.isdir(data) else data
    if table is None:
        classes = _folders(data)
        pairs = [(path, name) for name in classes for path in _in_folder(data / name, suffixes)]
        if not pairs:
            raise DatasetError(
                f"{data}: no folder of files for each class in it ({', '.join(suffixes[-4:])}, …); give such a folder, "
                "or a CSV file of path,label"
            )
    else:
        pairs = list(_in_table(table, data if annotations is not None else table.parent))
        classes = sorted({label for _, label in pairs})
        if not pairs:
            raise DatasetError(f"{table}: no file is in this table; write path,label a line")
    listed = tuple(path for path, _ in pairs)
    if limit is not None and limit < len(pairs):
        pairs = [pairs[len(pairs) * number // limit] for number in range(limit)]
    skipped: list[tuple[str, str]] = []
    sound = []
    for path, label in pairs:
        fault = _fault(path)
        if fault is None:
            sound.append((path, label))
        elif keep_going:
            skipped.append((_name(data, path), fault))
        elif table is None:
            raise DatasetError(f"{path}: this file {fault}; mend it, or leave it out")
        else:
            hint = ", or call the columns path and label" if path == listed[0] else ""
            raise DatasetError(f"{path}: this file, which {table} names, {fault}; check the path{hint}")
    if not sound:
        raise DatasetError(
            f"{table or data}: none of its {len(pairs)} files can be read, the first one is {pairs[0][0]}"
        )
    files, labels = zip(*sound, strict=True)
    return LabelledPictures(data, files, labels, tuple(classes), listed, tuple(skipped), keep_going, table)


def _fault(path: Path) -> str | None:
    """What is wrong with a file, before it is decoded."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "is a link to what does not exist" if path.is_symlink() else "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if stat.S_ISREG(mode) else "is not a regular file"


def _name(data: Path, path: Path) -> str:
    folder = data if os.path.isdir(data) else data.parent
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def match_labels(pictures: LabelledPictures, class_names: Sequence[str], label_set: str) -> tuple[dict[str, int], str]:
    """The model's label of each class of the data set, and in words how they were matched.

    All classes count, whichever of their files are run, so that a part of the files is matched as all of them are.

    Args:
        pictures: the data set.
        class_names: of the model.
        label_set: what the model's classes are of (`Manifest.model.dataset`).

    Raises:
        DatasetError: a class that the model does not have, or that is the name of two of them.
    """
    own = sorted(set(pictures.classes))
    if label_set == IMAGE_NET and all(_is_synset(name) for name in own):
        return _synsets(pictures, own, len(class_names)), "by WordNet id"
    names = _names(class_names)
    if not any(_plain(name) in names or _number(name, len(class_names)) is not None for name in own):
        if len(own) == len(class_names) and pictures.table is None:
            return {name: label for label, name in enumerate(own)}, BY_ORDER
        raise DatasetError(
            f"{pictures.where}: the model has no class named {_listed(own)}; its classes are {_listed(class_names)}: "
            "name them so, or by their numbers from 0"
        )
    return {name: _label(pictures, name, names, class_names) for name in own}, "by name"


def _label(
    pictures: LabelledPictures, name: str, names: Mapping[str, Sequence[int]], class_names: Sequence[str]
) -> int:
    labels = names.get(_plain(name), ())
    if len(labels) > 1:
        raise DatasetError(
            f"{pictures.where}: {len(labels)} classes of the model are named {name!r} ({', '.join(map(str, labels))}); "
            "give the number of the one that is meant"
        )
    label = labels[0] if labels else _number(name, len(class_names))
    if label is None:
        raise DatasetError(
            f"{pictures.where}: the model has no class {name!r:.80}; its classes are {_listed(class_names)}, or "
            f"numbers from 0 to {len(class_names) - 1}"
        )
    return label


def _names(class_names: Sequence[str]) -> dict[str, list[int]]:
    """Labels by name, and by each synonym (`tench, Tinca tinca`) that is no whole name."""
    found: dict[str, list[int]] = {}
    for label, name in enumerate(class_names):
        found.setdefault(_plain(name), []).append(label)
    synonyms: dict[str, list[int]] = {}
    for label, name in enumerate(class_names):
        for part in {_plain(part) for part in name.split(",")} - found.keys():
            synonyms.setdefault(part, []).append(label)
    return synonyms | found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _number(name: str, count: int) -> int | None:
    """The label that a name is the number of."""
    return int(name) if name.isascii() and name.isdecimal() and len(name) < 9 and int(name) < count else None


def _is_synset(name: str) -> bool:
    return len(name) == 9 and name[0] == "n" and name[1:].isascii() and name[1:].isdecimal()


def _synsets(pictures: LabelledPictures, own: Sequence[str], count: int) -> dict[str, int]:
    """Labels by WordNet id: ImageNet's are in their order, so that all need no table; of some, timm's has it."""
    if len(own) == count:
        return {name: label for label, name in enumerate(own)}
    timm = find_spec("timm")
    table = Path(timm.origin).parent / "data" / "_info" / "imagenet_synsets.txt" if timm and timm.origin else None
    if table is None or not table.is_file():
        raise DatasetError(
            f"{pictures.where}: {len(own)} of ImageNet's {count} classes by their WordNet ids, whose order is in timm, "
            "which is not installed: pip install timm, or name the folders by the labels' numbers"
        )
    labels = {name: label for label, name in enumerate(table.read_text(encoding="utf-8").split())}
    if unknown := [name for name in own if name not in labels]:
        raise DatasetError(f"{pictures.where}: {_listed(unknown)} is not of ImageNet's {count} classes; leave it out")
    return {name: labels[name] for name in own}


def _folders(folder: Path) -> list[str]:
    """The names of the classes, as torchvision's `ImageFolder` orders them."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot list this folder: {error.strerror}; check the path") from error


def _in_folder(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort(key=natural_order)
        for file in sorted(files, key=natural_order):
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in suffixes:
                yield Path(place, file)


def _in_table(table: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Files and labels; what is said twice counts once."""
    places: dict[Path, str] = {}
    known: dict[tuple[str, str], tuple[int, str]] = {}
    for line, path, label in _rows(table, folder):
        if path.parent not in places:
            places[path.parent] = os.path.realpath(path.parent)
        first, other = known.setdefault((places[path.parent], path.name), (line, label))
        if other != label:
            raise DatasetError(
                f"{table}, lines {first} and {line}: {path} is {other!r:.80}, and then {label!r:.80}; leave one out"
            )
        if first == line:
            yield path, label


def _rows(table: Path, folder: Path) -> Iterator[tuple[int, Path, str]]:
    """The line, the file and the label of each row."""
    try:
        text = read_bytes(table, DatasetError, what="table", limit=_MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)  # which alone knows where a line ends
    headings: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not headings:
                folded = [cell.casefold() for cell in cells]
                headings = folded if set(_HEADER) <= set(folded) else list(_HEADER)
                if headings is folded:
                    continue
            if len(cells) != len(headings):
                raise DatasetError(
                    f"{table}, line {rows.line_num}: {len(cells)} columns, and not {len(headings)}; write path,label, "
                    "or begin with a line of headings with path and label among them"
                )
            path, label = (cells[headings.index(name)] for name in _HEADER)
            if not path or not label or "\0" in path:
                raise DatasetError(f"{table}, line {rows.line_num}: no path, or no label; write path,label")
            yield rows.line_num, folder / path, label
    except csv.Error as error:
        raise DatasetError(f"{table}, line {rows.line_num}: not CSV ({error}); write path,label a line") from error


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…") for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
