"""What a video session returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Size


@dataclass(frozen=True, slots=True)
class Instances:
    """The tracked objects of one frame; row n of every array is the same object.

    Attributes:
        masks: `[n, H0, W0]` bool, at the source's size.
        boxes: `[n, 4]` float32 `x1, y1, x2, y2` in source pixels, tight around the mask, x2 and y2 exclusive; an
            empty mask gives zeros.
        scores: `[n]` float32 in [0, 1]: class probability times mean mask probability.
        labels: `[n]` int64, index into the bundle's class names.
        identities: `[n]` int64, the track number, unique in the stream; numbers may have gaps.
    """

    masks: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    identities: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identities)


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's outcome.

    Attributes:
        index: position of the frame in the stream, from 0.
        time: presentation time of the frame in seconds, or None.
        original_size: height and width of the source frame in pixels.
        instances: the tracked objects.
        kept: for each selection point, by name, the kept token positions `[K]` int32, ascending, row-major on `grid`.
        grid: rows and columns of the model's token grid.
        candidates_dropped: queries that could have mattered but did not fit the bundle's `max_detections`. 0 normally.
        tracks_not_fed: tracks in memory that did not fit the bundle's `max_tracks` and were not fed to this frame.
        seconds: wall time of this frame by part (`engine`, `host`), in seconds.
    """

    index: int
    time: Fraction | None
    original_size: Size
    instances: Instances
    kept: Mapping[str, npt.NDArray[np.int32]]
    grid: Size
    candidates_dropped: int
    tracks_not_fed: int
    seconds: Mapping[str, float]

    @property
    def keep_ratios(self) -> dict[str, float]:
        """Share of all tokens kept at each selection point, in [0, 1]."""
        tokens = self.grid[0] * self.grid[1]
        return {name: len(positions) / tokens for name, positions in self.kept.items()}
