"""Write synthetic clips as a data set in YouTube-VIS layout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from vpp_deploy.demo.scenes import SceneClip, render_clip
from vpp_deploy.demo.textures import SHAPES
from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.files.atomic import new_folder
from vpp_deploy.files.contents import others_in
from vpp_deploy.files.outputs import real_path
from vpp_deploy.files.reading import read_json
from vpp_deploy.frames import Size
from vpp_deploy.tasks.segmentation.evaluation.dataset import IMAGES
from vpp_deploy.tasks.segmentation.writers import encode_mask

ANNOTATIONS: Final = "instances.json"
MIN_PIXELS: Final = 64
"""An object of which less than this many pixels are visible in every frame is not annotated."""

_JPEG_QUALITY: Final = 92
_DESCRIPTION: Final = "Synthetic shapes for video instance segmentation"
_MOST_PIXELS: Final = 500_000_000
"""Of a clip, which is made in memory: 2 GB."""
_MOST_BYTES: Final = 2_000_000_000

Entry = dict[str, Any]
Progress = Callable[[int, int | None], None]
"""Called with the number of frames written so far and the number there will be in all."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What was written.

    Attributes:
        path: the data set's folder.
        videos: number of videos.
        frames: number of frames of all videos.
        objects: number of annotated objects.
    """

    path: Path
    videos: int
    frames: int
    objects: int


def write_dataset(
    folder: Path | str,
    *,
    clips: int,
    seed: int,
    split: str,
    frames: int = 12,
    size: Size = (256, 384),
    overwrite: bool = False,
    progress: Progress = lambda done, expected: None,
) -> DatasetSummary:
    """Write the first clips of a split: `JPEGImages/<video>/<frame>.jpg` and `instances.json`.

    The same arguments give the same bytes. The folder appears when it is complete; after an error nothing is left, and
    an older data set stays.

    Args:
        folder: the target. Its parent must exist.
        clips: number of videos, at least 1.
        seed: of the clips, at least 0.
        split: one of `vpp_deploy.demo.scenes.SPLITS`.
        frames: per clip, at least 1. A clip is made in memory, 4 bytes a pixel, at most 2 GB.
        size: height and width in pixels, each from 64 to 4096.
        overwrite: replace `folder` if it holds such a data set and nothing else.
        progress: see `Progress`.

    Raises:
        UsageError: an argument is out of its range.
        OutputError: the target is not empty and may not be replaced, or cannot be written.
    """
    if clips < 1:
        raise UsageError(f"synthetic data set: clips={clips}; give at least 1")
    if frames * size[0] * size[1] > _MOST_PIXELS:
        raise UsageError(
            f"synthetic data set: {frames} frames of {size[0]}x{size[1]} are too much for memory; give fewer or smaller"
        )
    target = Path(folder)
    videos: list[Entry] = []
    annotations: list[Entry] = []
    with _staging(target, overwrite=overwrite) as staging:
        for index in range(clips):
            clip = render_clip(split, seed, index, frames=frames, size=size)
            names = [f"{split}-{seed}-{index:05d}/{frame:05d}.jpg" for frame in range(frames)]
            _write_frames(clip.frames, [staging / IMAGES / name for name in names])
            video_id = index + 1
            videos.append({"id": video_id, "width": size[1], "height": size[0], "length": frames, "file_names": names})
            for track in track_entries(clip):
                annotations.append({"id": len(annotations) + 1, "video_id": video_id, **track})
            progress(video_id * frames, clips * frames)
        content = {
            "info": {"description": _DESCRIPTION, "split": split, "seed": seed},
            "licenses": [],
            "videos": videos,
            "categories": [{"id": label + 1, "name": name} for label, name in enumerate(SHAPES)],
            "annotations": annotations,
        }
        (staging / ANNOTATIONS).write_text(json.dumps(content, allow_nan=False) + "\n", encoding="ascii")
    return DatasetSummary(target, clips, clips * frames, len(annotations))


def track_entries(clip: SceneClip) -> list[Entry]:
    """The annotations of a clip's objects, without ids: what of each is visible, frame by frame."""
    height, width = clip.identities.shape[1:]
    entries = []
    for number, label in enumerate(clip.labels, start=1):
        masks = clip.identities == number
        areas = masks.sum(axis=(1, 2))
        if areas.max() < MIN_PIXELS:
            continue
        segmentations = [encode_mask(mask) if mask.any() else None for mask in masks]
        entries.append(
            {
                "category_id": int(label) + 1,
                "iscrowd": 0,
                "height": height,
                "width": width,
                "segmentations": segmentations,
                "bboxes": [None if rle is None else coco_mask.toBbox(rle).tolist() for rle in segmentations],
                "areas": [int(area) or None for area in areas],
            }
        )
    return entries


def _write_frames(frames: npt.NDArray[np.uint8], paths: Sequence[Path]) -> None:
    paths[0].parent.mkdir(parents=True)
    for picture, path in zip(frames, paths, strict=True):
        Image.fromarray(picture).save(path, quality=_JPEG_QUALITY)


@contextmanager
def _staging(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder to write into, which takes the target's name when the block ends well."""
    try:
        destination = real_path(target)  # overwriting replaces what a link leads to, not the link
        _check_target(target, destination, overwrite)
        with new_folder(destination) as (staging, commit):
            yield staging
            _check_target(target, destination, overwrite)
            commit()
    except OSError as error:
        raise OutputError(f"cannot write the data set {target}: {error.strerror or error}") from error


def _check_target(target: Path, destination: Path, overwrite: bool) -> None:
    if not os.path.lexists(destination):
        return
    if not destination.is_dir():
        raise OutputError(f"{target} exists and is not a folder: choose another name")
    if not any(destination.iterdir()):
        return
    if not overwrite:
        raise OutputError(
            f"{target} exists already and is not empty: choose another name, or replace it with --overwrite"
        )
    listed = {ANNOTATIONS, *(f"{IMAGES}/{name}" for name in _listed_frames(destination / ANNOTATIONS))}
    if other := next(others_in(destination, listed), None):
        raise OutputError(
            f"{target} holds more than a data set ({other}), so it is not overwritten: choose another name"
        )


def _listed_frames(annotations: Path) -> set[str]:
    """The frames that an annotation file of ours lists; none if it is not one."""
    try:
        content = read_json(annotations, OutputError, what="annotation file", limit=_MOST_BYTES)
        if content["info"]["description"] != _DESCRIPTION:
            return set()
        return {str(name) for video in content["videos"] for name in video["file_names"]}
    except (OutputError, KeyError, TypeError):
        return set()
