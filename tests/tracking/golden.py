"""The original tracker's synthetic sequences (`tracker_seq*.npz`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vpp_deploy.tracking.detections import Detections

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sequence:
    """One sequence; a frame index of 0 starts a new video.

    Attributes:
        num_queries: learned queries.
        query_width: channels of a query feature.
        frames: index and arrays of each frame.
    """

    num_queries: int
    query_width: int
    frames: list[tuple[int, Arrays]]


def tracker_sequences(folder: Path) -> Iterator[Sequence]:
    """All sequences of a folder with golden data; there must be some."""
    config = json.loads((folder / "config.json").read_text())["tracker"]
    files = sorted(folder.glob("tracker_seq*.npz"))
    assert files
    for file in files:
        run = config[file.stem.removeprefix("tracker_seq")]
        with np.load(file) as stored:
            arrays = dict(stored)
        frames = [
            (index, {name.removeprefix(f"t{t}_"): array for name, array in arrays.items() if name.startswith(f"t{t}_")})
            for t, index in enumerate(run["frame_ids"])
        ]
        yield Sequence(run["num_fixed_queries"], arrays["t0_in_queries"].shape[1], frames)


def detections_of(frame: Arrays) -> Detections:
    """What the tracker gets in a frame."""
    return Detections(
        query_indices=frame["in_query_ids"],
        rows=frame["in_query_ids"],
        labels=frame["in_labels"],
        scores=frame["in_scores"],
        boxes=frame["in_boxes_xyxy"],
        masks=frame["in_masks"],
    )
