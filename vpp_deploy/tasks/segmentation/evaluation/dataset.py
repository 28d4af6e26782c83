"""A data set in YouTube-VIS layout: `JPEGImages/<video>/*.jpg` and an annotation file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import DatasetError, UsageError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.image_folder_reader import Images
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.tasks.segmentation.evaluation.annotations import (
    AnnotationFile,
    TrackEntry,
    VideoEntry,
    find_annotations,
    read_annotations,
    validate,
)
from vpp_deploy.tasks.segmentation.evaluation.masks import box_of, read_mask
from vpp_deploy.tasks.segmentation.writers import Rle

IMAGES: Final = "JPEGImages"


@dataclass(frozen=True, slots=True)
class Track:
    """An annotated object.

    Attributes:
        category_id: as in the annotation file.
        iscrowd: a group that is neither to be found nor to be missed.
        segmentations: mask of each frame; None where the object is not seen.
        boxes: `x, y, width, height` in pixels of each frame: the file's, or else tight around the mask.
    """

    category_id: int
    iscrowd: bool
    segmentations: tuple[Rle | None, ...]
    boxes: tuple[list[float] | None, ...]


@dataclass(frozen=True, slots=True)
class Video:
    """A video and its annotated objects.

    Attributes:
        id: as in the annotation file.
        name: the folder of its frames.
        size: height and width of every frame in pixels.
        files: one image a frame, in order.
        tracks: its objects.
    """

    id: int
    name: str
    size: Size
    files: tuple[Path, ...]
    tracks: tuple[Track, ...]

    def frames(self, size: Size) -> Iterator[Frame]:
        """Decode the frames one after the other, letterboxed into `size` (height, width).

        Raises:
            VideoError: an image cannot be decoded.
            DatasetError: an image is not as large as the annotation file says.
        """
        for index, picture in enumerate(Images(self.files).pictures()):
            height, width = picture.image.shape[:2]
            if (height, width) != self.size:
                expected = f"{self.size[0]}x{self.size[1]}"
                raise DatasetError(
                    f"{self.files[index]}: this frame is {height}x{width} (height x width), "
                    f"the annotation file says {expected}; {_advice((height, width), self.size)}"
                )
            image, content = letterbox(picture.image, size)
            yield Frame(image, content, picture.image, index, name=picture.name)

    def masks(self, frame: int) -> list[Rle]:
        """The masks of the objects that are annotated in a frame."""
        return [mask for track in self.tracks if (mask := track.segmentations[frame])]

    def stamp(self) -> str:
        """A hash that changes when a frame's file is replaced: of names, sizes and times of change."""
        states = [(path.name, (state := path.stat()).st_size, state.st_mtime_ns) for path in self.files]
        return sha256_of_bytes(repr(states).encode())


@dataclass(frozen=True, slots=True)
class Skipped:
    """A video that is left out, and why."""

    video: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is evaluated on.

    Attributes:
        folder: the data set.
        annotations: its annotation file.
        sha256: hash of that file.
        categories: names by category id, in the order of the file.
        videos: those that are sound and asked for.
        lengths: number of frames by id of every video in the file, asked for or not.
        skipped: those asked for that are not sound.
        keep_going: leave out videos with a fault instead of raising.
    """

    folder: Path
    annotations: Path
    sha256: str
    categories: Mapping[int, str]
    videos: tuple[Video, ...]
    lengths: Mapping[int, int]
    skipped: tuple[Skipped, ...] = ()
    keep_going: bool = False

    def paths(self) -> Iterator[Path]:
        """The annotation file and the frames of the videos."""
        yield self.annotations
        for video in self.videos:
            yield from video.files


def open_dataset(
    folder: Path | str, annotations: Path | str | None = None, *, videos: int | None = None, keep_going: bool = False
) -> Dataset:
    """Read the annotations and see that the frames exist; they are decoded when they are used.

    Args:
        folder: holds `JPEGImages`.
        annotations: the annotation file; None looks for it in the folder and in its subfolder `annotations`.
        videos: only the first so many of the file; None takes all.
        keep_going: leave out videos with a fault of their own, also one that is found later, when frames are decoded.
            A fault of the annotation file as a whole is an error anyway.

    Raises:
        UsageError: `videos` is below 1.
        DatasetError: no such folder or file; not a YouTube-VIS annotation file; annotations that contradict each
            other or the frames; a frame is missing; no video is left.
    """
    if videos is not None and videos < 1:
        raise UsageError(f"videos is {videos}; give at least 1, or None for all")
    folder = Path(folder)
    file = read_annotations(Path(annotations) if annotations else find_annotations(folder))
    images = folder / IMAGES
    if not images.is_dir():
        raise DatasetError(f"{images}: this folder does not exist; a data set has its frames there")
    categories = {category.id: category.name.strip() for category in file.categories}
    sound: list[Video] = []
    skipped: list[Skipped] = []
    for entry in file.videos[:videos]:
        try:
            sound.append(_read_video(file, entry, images, categories))
        except DatasetError as error:
            if not keep_going:
                raise
            skipped.append(Skipped(_name(entry), str(error)))
    if not sound:
        raise DatasetError(f"{file.path}: every video has a fault, the first one: {skipped[0].reason}")
    lengths = {entry.id: len(entry.file_names) for entry in file.videos}
    return Dataset(folder, file.path, file.sha256, categories, tuple(sound), lengths, tuple(skipped), keep_going)


def match_categories(dataset: Dataset, class_names: Sequence[str]) -> dict[int, int]:
    """The data set's category id of each of a model's labels, by name, whatever its case.

    Returns:
        Category ids by label. A class that the data set does not have is left out: its objects are not scored.

    Raises:
        DatasetError: the data set has a category that is not among the classes.
    """
    labels = {name.strip().casefold(): label for label, name in enumerate(class_names)}
    matched = {}
    for category_id, name in dataset.categories.items():
        label = labels.get(name.casefold())
        if label is None:
            raise DatasetError(
                f"{dataset.annotations}: category {name!r} is none of the model's {len(class_names)} classes "
                f"({', '.join(class_names)}); use a data set or a model with the same classes"
            )
        matched[label] = category_id
    return matched


def _name(entry: VideoEntry) -> str:
    return Path(entry.file_names[0]).parent.name or str(entry.id)


def _read_video(file: AnnotationFile, entry: VideoEntry, images: Path, categories: Mapping[int, str]) -> Video:
    count = len(entry.file_names)
    if entry.length not in (None, count):
        raise DatasetError(f"{file.path}: video {entry.id} has length {entry.length} and {count} file names")
    files = tuple(images / name for name in entry.file_names)
    if missing := [path for path in files if not path.is_file()]:
        raise DatasetError(
            f"{missing[0]}: this frame does not exist, but {file.path.name} lists it{_likely(images, missing[0])}"
        )
    size = (entry.height, entry.width)
    tracks = tuple(_read_track(file, track, size, count, categories) for track in file.tracks[entry.id])
    return Video(entry.id, _name(entry), size, files, tracks)


def _advice(found: Size, expected: Size) -> str:
    if found == expected[::-1]:
        return (
            "masks belong to the picture as it is shown: if its EXIF data turns it, save it turned and without that "
            "orientation, or correct the annotation file"
        )
    return "convert it, or correct the file"


def _likely(images: Path, missing: Path) -> str:
    """Why a listed frame is not there, as far as the names tell."""
    name = missing.relative_to(images).as_posix()
    if "\\" in name and (images / name.replace("\\", "/")).is_file():
        return "; its names have backslashes, as Windows writes them: replace each with /"
    if name.startswith(f"{IMAGES}/") and (images.parent / name).is_file():
        return f"; its names begin with {IMAGES}/, which is to be left out"
    folder, found = images, ""
    for part in Path(name).parts:
        alike = [other for other in _names_in(folder) if _same(other) == _same(part)]
        if not alike:
            return ""
        folder, found = folder / alike[0], f"{found}/{alike[0]}".removeprefix("/")
    composed = unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", name)
    how = "accents composed in another way (NFC, NFD)" if composed else "upper and lower case"
    return f"; there is one whose name differs in {how} alone: rename it, or correct the file"


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # it was about a hint alone
        return []


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _read_track(
    file: AnnotationFile, track: tuple[int, Any], size: Size, frames: int, categories: Mapping[int, str]
) -> Track:
    index, raw = track
    entry = validate(file.path, f"annotations[{index}]", TrackEntry, raw)
    where = f"{file.path}: annotation {entry.id} of video {entry.video_id}"
    if entry.category_id not in categories:
        raise DatasetError(f"{where} is of category {entry.category_id}, which is not among the categories")
    for name, values in (("segmentations", entry.segmentations), ("bboxes", entry.bboxes)):
        if values is not None and len(values) != frames:
            raise DatasetError(f"{where} has {len(values)} {name}, the video has {frames} frames")
    masks = []
    for frame, segmentation in enumerate(entry.segmentations):
        try:
            masks.append(read_mask(segmentation, size))
        except ValueError as error:
            raise DatasetError(f"{where}, frame {frame}: {error}") from error
    given = entry.bboxes or [None] * frames
    boxes = tuple(None if mask is None else box or box_of(mask) for mask, box in zip(masks, given, strict=True))
    return Track(entry.category_id, bool(entry.iscrowd), tuple(masks), boxes)
