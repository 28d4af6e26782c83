"""The annotation file of a data set: where it is, and what is in it, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import DatasetError
from vpp_deploy.files.reading import most_values, read_bytes

_FOLDERS: Final = ("", "annotations")
MOST_BYTES: Final = 400_000_000
"""Of an annotation file or submission: three times that of YouTube-VIS's training set."""
MOST_VALUES: Final = 20_000_000
"""Numbers, strings, lists and objects in one: tens of bytes each in memory."""
_MOST_PIXELS: Final = 65_535
"""Of a side: no JPEG has more."""
_LONG: Final = 2**63
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp")
_LOOKED_AT: Final = 1000
_NAMES: Final = ("instances.json", "valid.json", "val.json", "train.json", "test.json")

Id = Annotated[int, Field(ge=-_LONG, lt=_LONG)]
Pixels = Annotated[int, Field(gt=0, le=_MOST_PIXELS)]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]
BoxEntry = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]


class Entry(BaseModel):
    """An entry of the file; fields that are not named here are allowed and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


EntryType = TypeVar("EntryType", bound=Entry)


class VideoEntry(Entry):
    """A video: size in pixels, and its frames in order, relative to the folder of images."""

    id: Id
    width: Pixels
    height: Pixels
    length: int | None = None
    file_names: Annotated[list[str], Field(min_length=1)]


class CategoryEntry(Entry):
    """A class of objects."""

    id: Id
    name: str


class TrackEntry(Entry):
    """An object through a video: one segmentation (RLE, polygons or null) and one box a frame."""

    id: Id
    video_id: Id
    category_id: Id
    iscrowd: bool | Annotated[int, Field(ge=0, le=1)] = 0
    segmentations: list[Any]
    bboxes: list[BoxEntry | None] | None = None


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A data set's annotation file; ids of videos, categories and tracks are unique.

    Attributes:
        path: the file.
        sha256: its hash.
        videos: in the order of the file.
        categories: in the order of the file; names are unique whatever their case.
        tracks: by video id, place in the file's list and content, not yet validated but for `video_id`.
    """

    path: Path
    sha256: str
    videos: tuple[VideoEntry, ...]
    categories: tuple[CategoryEntry, ...]
    tracks: dict[int, list[tuple[int, Any]]]


def find_annotations(folder: Path) -> Path:
    """The one annotation file of a data set's folder.

    Raises:
        DatasetError: the folder does not exist, or has no such file, or several.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: this folder does not exist; give a data set's folder, with JPEGImages in it")
    candidates = [path for sub in _FOLDERS for name in _NAMES if (path := folder / sub / name).is_file()]
    if not candidates:
        raise DatasetError(
            f"{folder}: no annotation file ({', '.join(_NAMES)}); name it with --annotations{_other_layout(folder)}"
        )
    if len(candidates) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in candidates)
        raise DatasetError(f"{folder}: several annotation files ({names}); choose one with --annotations")
    return candidates[0]


def _other_layout(folder: Path) -> str:
    """What a folder seems to be, where it is no data set in YouTube-VIS layout."""
    try:
        inner = [path for path in islice(folder.iterdir(), _LOOKED_AT) if path.is_dir() and path.name != "JPEGImages"]
        pictures = [
            path for path in inner if any(file.suffix.lower() in _PICTURES for file in islice(path.iterdir(), 9))
        ]
    except OSError:  # it was about a hint alone
        return ""
    if not pictures:
        return ""
    return (
        f"; its folders, such as {min(pictures).name}, seem to hold the pictures of a class each, and evaluation is of "
        "instances over time, in YouTube-VIS layout"
    )


def read_annotations(path: Path) -> AnnotationFile:
    """Read an annotation file in YouTube-VIS layout (2019 or 2021).

    Raises:
        DatasetError: it cannot be read, is not JSON or not of this layout; an id occurs twice; a track's video is not
            in the file; a category has no name.
    """
    data = read_file(path)
    content = parse_json(path, data)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: a JSON {type(content).__name__}; an annotation file is an object")
    videos = [validate(path, f"videos[{i}]", VideoEntry, entry) for i, entry in _entries(path, content, "videos")]
    categories = [
        validate(path, f"categories[{i}]", CategoryEntry, entry) for i, entry in _entries(path, content, "categories")
    ]
    _check_categories(path, categories)
    _check_unique(path, "video id", [video.id for video in videos])
    tracks: dict[int, list[tuple[int, Any]]] = {video.id: [] for video in videos}
    ids = []
    for index, entry in _entries(path, content, "annotations"):
        fields = entry if isinstance(entry, dict) else {}
        video = fields.get("video_id")
        if type(video) is not int or video not in tracks:
            raise DatasetError(f"{path}: annotations[{index}] is of video {video!r:.80}, which is not among the videos")
        tracks[video].append((index, entry))
        ids.append(repr(fields.get("id")))
    _check_unique(path, "annotation id", ids)
    return AnnotationFile(path, sha256_of_bytes(data), tuple(videos), tuple(categories), tracks)


def read_file(path: Path, what: str = "annotation file") -> bytes:
    """The bytes of a file.

    Raises:
        DatasetError: it cannot be read, is no regular file, or is larger than any such file.
    """
    return read_bytes(path, DatasetError, what=what, limit=MOST_BYTES)


def parse_json(path: Path, data: bytes) -> Any:
    """The content of a JSON file.

    Raises:
        DatasetError: it is none, or holds more values than any such file.
    """
    if len(data) > MOST_VALUES and most_values(data) > MOST_VALUES:
        raise DatasetError(f"{path}: more than {MOST_VALUES} values; is it the right file?")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise DatasetError(f"{path}: not JSON ({reason}); is the file complete?") from error


def validate(path: Path, where: str, kind: type[EntryType], entry: Any) -> EntryType:
    """An entry of a file, with its fields checked.

    Raises:
        DatasetError: a field is missing or of the wrong kind; the message names the file, `where` and the field.
    """
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise DatasetError(f"{path}: {where}{field}: {reason}, got {first['input']!r:.80}") from error


def _entries(path: Path, content: dict[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        missing = "has no" if entries is None else "has something else than a list as"
        raise DatasetError(f"{path}: {missing} {key!r}; give an annotation file in YouTube-VIS layout")
    if not entries and key != "annotations":
        raise DatasetError(f"{path}: the list {key!r} is empty; there is nothing to evaluate")
    return iter(enumerate(entries))


def _check_categories(path: Path, categories: list[CategoryEntry]) -> None:
    for category in categories:
        if not category.name.strip():
            raise DatasetError(f"{path}: category {category.id} has an empty name; give it that of a model's class")
    _check_unique(path, "category id", [category.id for category in categories])
    _check_unique(path, "category name", [category.name.strip().casefold() for category in categories])


def _check_unique(path: Path, what: str, values: list[Any]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise DatasetError(f"{path}: {what} {value} occurs twice; it must be unique")
        seen.add(value)
