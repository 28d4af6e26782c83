"""Predictions in the format of the official YouTube-VIS submissions, whoever made them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from vpp_deploy.errors import DatasetError
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.tasks.segmentation.evaluation.annotations import MOST_BYTES, Entry, Id, parse_json, read_file, validate
from vpp_deploy.tasks.segmentation.evaluation.dataset import Dataset, Video
from vpp_deploy.tasks.segmentation.evaluation.masks import box_of, read_mask
from vpp_deploy.tasks.segmentation.evaluation.predictions import Detection, TrackPrediction, VideoPredictions
from vpp_deploy.tasks.segmentation.writers import Rle

MEMBER: Final = "results.json"
"""The file in a zipped submission."""


_ZIP: Final = b"PK"
_ENTRY: Final = b"PK\1\2"
"""Before each entry of a zip file's directory."""
_MOST_ENTRIES: Final = 1000
_DAMAGES: Final = (
    OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a zip file raises that is damaged or (RuntimeError) encrypted."""


class _SubmissionEntry(Entry):
    video_id: Id
    category_id: Id
    score: Annotated[float, Field(allow_inf_nan=False)]
    segmentations: list[Any]


def read_submission(path: Path, dataset: Dataset) -> dict[int, VideoPredictions]:
    """Predictions in the official format: a JSON list of entries, as such or as `results.json` in a zip file.

    An entry is a track: `video_id`, `category_id`, `score`, and `segmentations`, RLE or null for each frame. It counts
    in each of its frames with the score of the track.

    Args:
        path: the file.
        dataset: says which videos and categories there are. Entries of videos that are not evaluated are ignored.

    Returns:
        Predictions by id of every video that is evaluated.

    Raises:
        DatasetError: the file cannot be read or is not in this format; an entry does not fit the data set.
    """
    entries = parse_json(path, _submission_bytes(path))
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: a JSON {type(entries).__name__}; a submission is a list of entries")
    videos = {video.id: video for video in dataset.videos}
    tracks: dict[int, list[TrackPrediction]] = {video: [] for video in videos}
    for index, raw in enumerate(entries):
        where = f"entry {index}"
        entry = validate(path, where, _SubmissionEntry, raw)
        if entry.video_id not in dataset.lengths:
            raise DatasetError(f"{path}: {where}: video {entry.video_id} is not in {dataset.annotations}")
        if entry.category_id not in dataset.categories:
            raise DatasetError(f"{path}: {where}: category {entry.category_id} is not in {dataset.annotations}")
        count, frames = len(entry.segmentations), dataset.lengths[entry.video_id]
        if count != frames:
            raise DatasetError(f"{path}: {where}: {count} segmentations, video {entry.video_id} has {frames} frames")
        if entry.video_id in videos:
            masks = list(_masks(path, where, entry.segmentations, videos[entry.video_id]))
            track = TrackPrediction(category_id=entry.category_id, score=entry.score, segmentations=masks)
            tracks[entry.video_id].append(track)
    return {id_: from_tracks(tracks[id_], len(video.files)) for id_, video in videos.items()}


def from_tracks(tracks: Sequence[TrackPrediction], frames: int) -> VideoPredictions:
    """Predictions of a video of so many frames of which only the tracks are known."""
    return VideoPredictions(tracks=list(tracks), frames=[_in_frame(tracks, frame) for frame in range(frames)])


def _in_frame(tracks: Sequence[TrackPrediction], frame: int) -> list[Detection]:
    return [
        Detection(category_id=track.category_id, score=track.score, box=box_of(mask), segmentation=mask)
        for track in tracks
        if (mask := track.segmentations[frame])
    ]


def _submission_bytes(path: Path) -> bytes:
    data = read_file(path, "submission")
    if not data.startswith(_ZIP):
        return data
    if data.count(_ENTRY) > _MOST_ENTRIES:
        raise DatasetError(
            f"{path}: this zip file has more than {_MOST_ENTRIES} entries; a submission has {MEMBER} alone"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(MEMBER)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DatasetError(f"{path}: {MEMBER} is packed in an unusual way; pack it with zip")
            if info.file_size > MOST_BYTES:
                raise DatasetError(
                    f"{path}: {MEMBER} unpacks to {in_bytes(info.file_size)}, and the most that is read is "
                    f"{in_bytes(MOST_BYTES)}; is it the right file?"
                )
            with archive.open(info) as member:
                return member.read(info.file_size)  # without a number it would unpack more than it says
    except KeyError as error:
        raise DatasetError(f"{path}: no {MEMBER} in this zip file; a submission has its entries there") from error
    except _DAMAGES as error:
        raise DatasetError(f"{path}: {MEMBER} in this zip file cannot be read: {error}") from error


def _masks(path: Path, where: str, segmentations: Sequence[Any], video: Video) -> Iterator[Rle | None]:
    for frame, segmentation in enumerate(segmentations):
        try:
            yield read_mask(segmentation, video.size)
        except ValueError as error:
            raise DatasetError(f"{path}: {where}, frame {frame}: {error}") from error
