"""Greedy suppression of overlapping masks (VPP, tracker rules 3, 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vpp_deploy.tasks.segmentation.tracking.boxes import Box, tight_box

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outline:
    """The part of a mask that is not empty, so that most of a picture is never looked at.

    Attributes:
        box: tight around the mask.
        region: `[height, width]` bool, the mask inside the box; a view.
        area: pixels of the mask.
    """

    box: Box
    region: Masks
    area: int

    @classmethod
    def of(cls, mask: Masks) -> Outline:
        """The outline of a mask `[H, W]`."""
        box = tight_box(mask)
        region = mask[box.window]
        return cls(box, region, int(np.count_nonzero(region)))


def unsuppressed(outlines: Sequence[Outline], threshold: float, protected: int = 0) -> npt.NDArray[np.int64]:
    """The masks that survive: those that overlap no earlier survivor too much.

    Overlap is (I + 1e-6) / (U + 1e-6) in float32, so two empty masks overlap fully. The pixel counts are exact, taken
    only where the tight boxes of two masks meet.

    Args:
        outlines: of masks of one size, best first.
        threshold: a mask whose overlap with an earlier survivor exceeds this is suppressed.
        protected: so many masks at the front survive in any case.

    Returns:
        `[k]` int64 ascending indices of the survivors.
    """
    survivors: list[int] = []
    for n, outline in enumerate(outlines):
        if n < protected or not _overlaps_any(outline, [outlines[m] for m in survivors], threshold):
            survivors.append(n)
    return np.array(survivors, np.int64)


def whole_masks(outlines: Sequence[Outline], size: tuple[int, int]) -> Masks:
    """The masks `[n, H, W]` of a picture of `size` (height, width) that have these outlines."""
    masks = np.zeros((len(outlines), *size), np.bool_)
    for mask, outline in zip(masks, outlines, strict=True):
        mask[outline.box.window] = outline.region
    return masks


def _overlaps_any(outline: Outline, others: Sequence[Outline], threshold: float) -> bool:
    intersections = np.array([_intersection(outline, other) for other in others], np.int64)
    unions = outline.area + np.array([other.area for other in others], np.int64) - intersections
    epsilon = np.float32(1e-6)
    overlaps = (intersections.astype(np.float32) + epsilon) / (unions.astype(np.float32) + epsilon)
    return bool((overlaps > np.float32(threshold)).any())


def _intersection(a: Outline, b: Outline) -> int:
    """Pixels that both masks cover."""
    x1, y1 = max(a.box.x1, b.box.x1), max(a.box.y1, b.box.y1)
    x2, y2 = min(a.box.x2, b.box.x2), min(a.box.y2, b.box.y2)
    if y1 >= y2 or x1 >= x2:
        return 0
    shared = [
        outline.region[y1 - outline.box.y1 : y2 - outline.box.y1, x1 - outline.box.x1 : x2 - outline.box.x1]
        for outline in (a, b)
    ]
    return int(np.count_nonzero(shared[0] & shared[1]))
