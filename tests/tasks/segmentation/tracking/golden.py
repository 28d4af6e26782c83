"""The original tracker's synthetic sequences (`tracker_seq*.npz`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.golden_data import Arrays, part, read_arrays, read_json, there
from vpp_deploy.tasks.segmentation.tracking.detections import Detections


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
    """All sequences of a folder with golden data; the test is skipped where there is none."""
    config = read_json(folder / "config.json")["tracker"]
    for file in sorted(folder.glob("tracker_seq*.npz")) or [there(folder / "tracker_seqA.npz")]:
        run = config[file.stem.removeprefix("tracker_seq")]
        arrays = read_arrays(file)
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


@dataclass(frozen=True)
class Video:
    """The original's logits of a clip and what became of them (`e2e_micro_*.npz`).

    Attributes:
        sizes: height and width of the padded frame, of its content, of the original frame.
        frames: arrays of each frame.
    """

    sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    frames: list[Arrays]

    @property
    def num_queries(self) -> int:
        """Learned queries."""
        return len(self.frames[0]["cls"]) - int(self.frames[0]["n_track_queries"])

    @property
    def query_width(self) -> int:
        """Channels of a query feature."""
        return int(self.frames[0]["query"].shape[1])


def head_config(folder: Path) -> dict[str, Any]:
    """What the configuration says of heads and of the clip."""
    described = read_json(folder / "config.json")["head"]
    assert isinstance(described, dict)
    return described


def videos(folder: Path) -> Iterator[Video]:
    """All clips of a folder with golden data; the test is skipped where there is none."""
    geometry = part(head_config(folder), "e2e", "clip")
    padded, content, original = (tuple(geometry[name]) for name in ("padded_hw", "content_hw", "ori_shape"))
    for file in sorted(folder.glob("e2e_micro_*.npz")) or [there(folder / "e2e_micro_stk.npz")]:
        arrays = read_arrays(file)
        frames = [
            {name.removeprefix(f"f{t}_"): array for name, array in arrays.items() if name.startswith(f"f{t}_")}
            for t in range(geometry["frames"])
        ]
        yield Video((padded, content, original), [frame for frame in frames if frame])
