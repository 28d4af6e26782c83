"""Write results as JSON lines, and as a YouTube-VIS submission."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from vpp_deploy.files.outputs import OutputFile, OutputWriter
from vpp_deploy.media.json_lines import JsonLinesFile
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.tracking.boxes import EMPTY_BOX, tight_box

Rle = dict[str, Any]
"""COCO's compressed run-length encoding: `{"size": [height, width], "counts": str}`."""


def encode_mask(mask: npt.NDArray[np.bool_]) -> Rle:
    """A mask `[H, W]` as COCO compressed RLE."""
    size = [int(length) for length in mask.shape]
    rle = coco_mask.frPyObjects({"size": size, "counts": _run_lengths(mask)}, *size)
    return {"size": size, "counts": rle["counts"].decode("ascii")}


def _run_lengths(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of a mask `[H, W]` down its columns, in turn outside and inside, from its tight box alone."""
    box, height = tight_box(mask), mask.shape[0]
    if box == EMPTY_BOX:
        return [mask.size]
    region = mask[box.window]
    changes = np.empty((len(region) + 1, region.shape[1]), np.bool_)
    changes[0], changes[-1] = region[0], region[-1]
    np.not_equal(region[1:], region[:-1], out=changes[1:-1])
    row, column = np.divmod(np.flatnonzero(changes), region.shape[1])
    edges = np.sort((box.x1 + column) * height + box.y1 + row)
    joined = np.flatnonzero(edges[1:] == edges[:-1])  # a run to the lowest row that goes on in the next column
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    if edges[-1] == mask.size:
        edges = edges[:-1]
    lengths: list[int] = np.diff(edges, prepend=0, append=mask.size).tolist()
    return lengths


class JsonLinesWriter(JsonLinesFile):
    """One JSON object per frame and line; see `JsonLinesFile` for what an error leaves.

    A line holds: `index`, `time` (seconds or null), `name` (images only), `cut` (true; only where a new scene begins,
    see `VideoSession.cut`), `size` [height, width], `instances` (each: `identity`, `label`, `class`, `score`, `box`
    [x1, y1, x2, y2], `segmentation` as COCO compressed RLE), `kept` (positions per selection point), `keep_ratios`,
    `candidates_dropped`, `tracks_not_fed`, `seconds`.

    Args:
        path: the target; an existing file is replaced.
        class_names: a name for each label (`Manifest.class_names`).

    Raises:
        OutputError: the target cannot be written. Raised here, before the first frame.
    """

    def __init__(self, path: str | os.PathLike[str], class_names: Sequence[str]) -> None:
        super().__init__(path)
        self._class_names = class_names

    def write(self, result: FrameResult, *, name: str = "") -> None:
        """Append a frame; `name` is the image's file name, if it has one.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        self.append(frame_record(result, name, self._class_names))


class YouTubeVisTracks:
    """What a YouTube-VIS submission says of the tracks of one video after the other.

    Args:
        video_id: of the first video, as in the data set's annotation file.
    """

    def __init__(self, video_id: int = 1) -> None:
        self._video_id = video_id
        self._entries: list[dict[str, Any]] = []
        self._tracks: dict[int, _Track] = {}
        self._frames = 0

    def start_video(self, video_id: int) -> None:
        """End the video so far and begin the next; identities start anew."""
        self._end_video()
        self._video_id = video_id

    def write(self, result: FrameResult) -> None:
        """Append the next frame of the video."""
        instances = result.instances
        for mask, score, label, identity in zip(
            instances.masks, instances.scores, instances.labels, instances.identities, strict=True
        ):
            self._tracks.setdefault(int(identity), _Track()).add(self._frames, mask, float(score), int(label))
        self._frames += 1

    def entries(self) -> list[dict[str, Any]]:
        """End the last video, and give the entries of all: one per track and video.

        An entry holds `video_id`, `category_id` (1-based), `score` and `segmentations` (RLE or null for each frame).
        Its score is the mean over the frames in which the track appears; its category is the label with the highest
        summed score.
        """
        self._end_video()
        return self._entries

    def _end_video(self) -> None:
        self._entries += [track.entry(self._video_id, self._frames) for track in self._tracks.values()]
        self._tracks = {}
        self._frames = 0


class YouTubeVisWriter(YouTubeVisTracks, OutputWriter):
    """A YouTube-VIS submission: the entries of `YouTubeVisTracks` as a file, over any number of videos.

    The file is written when the `with` block ends well; after an exception nothing is left.

    Args:
        path: the target; an existing file is replaced.
        video_id: of the first video, as in the data set's annotation file.

    Raises:
        OutputError: the target cannot be written. Raised here, before the first frame.
    """

    def __init__(self, path: str | os.PathLike[str], video_id: int = 1) -> None:
        super().__init__(video_id)
        self._output = OutputFile(path)

    def finish(self) -> None:
        """Write the entries.

        Raises:
            OutputError: writing failed.
        """
        self._output.write(json.dumps(self.entries(), allow_nan=False).encode("ascii"))

    def commit(self) -> None:
        """Give the file its name."""
        self._output.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        self._output.discard()


class _Track:
    """What one identity did over a video."""

    def __init__(self) -> None:
        self._segmentations: dict[int, Rle] = {}
        self._scores: list[float] = []
        self._label_scores: dict[int, float] = {}

    def add(self, frame: int, mask: npt.NDArray[np.bool_], score: float, label: int) -> None:
        if mask.any():
            self._segmentations[frame] = encode_mask(mask)
        self._scores.append(score)
        self._label_scores[label] = self._label_scores.get(label, 0.0) + score

    def entry(self, video_id: int, frames: int) -> dict[str, Any]:
        return {
            "video_id": video_id,
            "category_id": 1 + max(self._label_scores, key=self._label_scores.__getitem__),
            "score": sum(self._scores) / len(self._scores),
            "segmentations": [self._segmentations.get(frame) for frame in range(frames)],
        }


def frame_record(result: FrameResult, name: str, class_names: Sequence[str]) -> dict[str, Any]:
    """A frame as a line of JSON holds it; see `JsonLinesWriter`. Without class names, classes have none."""
    return {
        "index": result.index,
        "time": None if result.time is None else float(result.time),
        **({"name": name} if name else {}),
        **({"cut": True} if result.cut else {}),
        "size": list(result.original_size),
        "instances": _instance_records(result, class_names),
        "kept": {point: positions.tolist() for point, positions in result.kept.items()},
        "keep_ratios": result.keep_ratios,
        "candidates_dropped": result.candidates_dropped,
        "tracks_not_fed": result.tracks_not_fed,
        "seconds": dict(result.seconds),
    }


def _instance_records(result: FrameResult, class_names: Sequence[str]) -> list[dict[str, Any]]:
    instances = result.instances
    return [
        {
            "identity": int(instances.identities[row]),
            "label": int(instances.labels[row]),
            "class": class_names[int(instances.labels[row])] if class_names else None,
            "score": round(float(instances.scores[row]), 6),
            "box": instances.boxes[row].tolist(),
            "segmentation": encode_mask(instances.masks[row]),
        }
        for row in range(len(instances))
    ]
