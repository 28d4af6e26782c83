"""Small data sets in YouTube-VIS layout, drawn here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tests.tasks.segmentation.fakes import rectangle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.frames import Size
from vpp_deploy.tasks.segmentation.evaluation import open_dataset
from vpp_deploy.tasks.segmentation.evaluation.predictions import predict
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import encode_mask

SHAPES = DATASETS["shapes"]
SIZE: Size = (60, 90)
Corners = tuple[int, int, int, int]
"""Top, left, bottom, right of a rectangle, bottom and right exclusive."""


def rle(corners: Corners | None, size: Size = SIZE) -> dict[str, Any] | None:
    return None if corners is None else encode_mask(rectangle(size, *corners))


def annotation(
    id_: int, video_id: int, category_id: int, track: Sequence[Corners | None], *, size: Size = SIZE, iscrowd: int = 0
) -> dict[str, Any]:
    boxes = [c and [float(c[1]), float(c[0]), float(c[3] - c[1]), float(c[2] - c[0])] for c in track]
    return {
        "id": id_,
        "video_id": video_id,
        "category_id": category_id,
        "iscrowd": iscrowd,
        "segmentations": [rle(corners, size) for corners in track],
        "bboxes": boxes,
        "areas": [box and box[2] * box[3] for box in boxes],
    }


def write_dataset(
    folder: Path,
    tracks: Mapping[int, Sequence[tuple[int, Sequence[Corners | None]]]],
    *,
    frames: int = 3,
    size: Size = SIZE,
    names: Sequence[str] = SHAPES,
) -> Path:
    """A data set of rectangles: for each video id, (category id, corners in each frame or None) of its tracks."""
    videos, annotations = [], []
    for video_id, objects in tracks.items():
        name = f"video_{video_id}"
        files = [f"{name}/{frame:05}.jpg" for frame in range(frames)]
        videos.append({"id": video_id, "width": size[1], "height": size[0], "length": frames, "file_names": files})
        for category_id, track in objects:
            annotations.append(annotation(len(annotations) + 1, video_id, category_id, track, size=size))
        for frame, file in enumerate(files):
            picture = Image.new("RGB", (size[1], size[0]), (90, 90, 90))
            for category_id, track in objects:
                if corners := track[frame]:
                    top, left, bottom, right = corners
                    colour = tuple(np.roll((250, 60 * category_id % 256, 20), category_id).tolist())
                    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill=colour)
            path = folder / "JPEGImages" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=95)
    content = {
        "videos": videos,
        "categories": [{"id": id_, "name": name} for id_, name in enumerate(names, start=1)],
        "annotations": annotations,
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def write_found_dataset(folder: Path, engine: Engine) -> Path:
    """Two videos of three frames, annotated with what an engine finds in them: even a random one is perfect there."""
    moving: list[Corners | None] = [(10, 10 + 5 * frame, 40, 40 + 5 * frame) for frame in range(3)]
    blinking: list[Corners | None] = [(5, 60, 20, 80), None, (8, 62, 25, 81)]
    write_dataset(folder, {1: [(2, moving)], 2: [(1, blinking), (5, moving)]})
    categories = {label: label + 1 for label in range(len(SHAPES))}
    found = {video.id: predict(VideoSession(engine), video, categories).tracks for video in open_dataset(folder).videos}
    assert all(tracks for tracks in found.values())

    def annotate(content: Any) -> None:
        tracks = [(video, track) for video, tracks in found.items() for track in tracks]
        content["annotations"] = [
            {"id": id_, "video_id": video, "category_id": track.category_id, "segmentations": track.segmentations}
            for id_, (video, track) in enumerate(tracks, start=1)
        ]

    edit(folder / "instances.json", annotate)
    return folder


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
