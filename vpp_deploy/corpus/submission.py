"""A YouTube-VIS submission of all results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.lines import read_lines
from vpp_deploy.corpus.markers import Marker
from vpp_deploy.corpus.store import Store
from vpp_deploy.errors import DatasetError
from vpp_deploy.files.outputs import OutputFile
from vpp_deploy.tasks.segmentation.evaluation.annotations import read_annotations
from vpp_deploy.tasks.segmentation.tracking.boxes import EMPTY_BOX


def video_numbers(items: Sequence[Item], annotations: Path | None) -> dict[str, int]:
    """The `video_id` of each item, by its name.

    Args:
        items: of the corpus, in order.
        annotations: of the data set, whose videos are known by the folder of their frames; None counts from 1.

    Raises:
        DatasetError: the file is unusable, or an item is none of its videos.
    """
    if annotations is None:
        return {item.name: number for number, item in enumerate(items, start=1)}
    known = {PurePosixPath(video.file_names[0]).parent.name: video.id for video in read_annotations(annotations).videos}
    numbers = {}
    for item in items:
        name = PurePosixPath(item.name).name
        if (number := known.get(name, known.get(PurePosixPath(name).stem))) is None:
            raise DatasetError(f"{annotations}: none of its videos is {item.name!r:.200}, which is in the corpus")
        numbers[item.name] = number
    return numbers


def write_submission(
    output: OutputFile, store: Store, done: Sequence[tuple[Item, Marker]], numbers: Mapping[str, int]
) -> None:
    """Write the entries of all tracks of all videos; see `YouTubeVisTracks.entries` for what an entry says.

    Scores are means of what the lines say, which have six digits.

    Args:
        output: the file. It gets its name here.
        store: has the results.
        done: items whose results are wanted, in order, and their markers.
        numbers: the `video_id` of each item, by name.

    Raises:
        OutputError: a result cannot be read, or the file cannot be written.
    """
    before = b"["
    try:
        with output.open() as file:
            for item, marker in done:
                for entry in entries(numbers[item.name], read_lines(store, item, marker)):
                    file.write(before + json.dumps(entry, allow_nan=False).encode())
                    before = b",\n"
            file.write(b"[]\n" if before == b"[" else b"]\n")
    except OSError as error:
        raise output.failure(error) from error
    output.commit()


def entries(video: int, lines: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The entries of one video.

    Args:
        video: its number.
        lines: its frames, in order.
    """
    found: dict[int, tuple[dict[int, Any], list[float], dict[int, float]]] = {}
    frames = 0
    for line in lines:
        for instance in line["instances"]:
            segmentations, scores, labels = found.setdefault(instance["identity"], ({}, [], {}))
            if tuple(instance["box"]) != tuple(EMPTY_BOX):
                segmentations[frames] = instance["segmentation"]
            scores.append(instance["score"])
            labels[instance["label"]] = labels.get(instance["label"], 0.0) + instance["score"]
        frames += 1
    for segmentations, scores, labels in found.values():
        yield {
            "video_id": video,
            "category_id": 1 + max(labels, key=labels.__getitem__),
            "score": sum(scores) / len(scores),
            "segmentations": [segmentations.get(frame) for frame in range(frames)],
        }
