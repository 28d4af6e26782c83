"""Greedy suppression of overlapping masks (VPP, tracker rules 3, 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vpp_deploy.tasks.segmentation.tracking.boxes import Box, tight_box

Masks = npt.NDArray[np.bool_]


def unsuppressed(masks: Masks, threshold: float, protected: int = 0) -> npt.NDArray[np.int64]:
    """The masks that survive: those that overlap no earlier survivor too much.

    Overlap is (I + 1e-6) / (U + 1e-6) in float32, so two empty masks overlap fully. The pixel counts are exact, taken
    only where the tight boxes of two masks meet.

    Args:
        masks: `[n, H, W]` bool, best first.
        threshold: a mask whose overlap with an earlier survivor exceeds this is suppressed.
        protected: so many masks at the front survive in any case.

    Returns:
        `[k]` int64 ascending indices of the survivors.
    """
    survivors: list[int] = []
    outlines: list[_Outline] = []
    for n, mask in enumerate(masks):
        outline = _outline(mask)
        if n < protected or not _overlaps_any(outline, outlines, threshold):
            survivors.append(n)
            outlines.append(outline)
    return np.array(survivors, np.int64)


@dataclass(frozen=True, slots=True)
class _Outline:
    """A mask with what makes most overlaps cheap to rule out."""

    mask: Masks
    area: int
    box: Box


def _outline(mask: Masks) -> _Outline:
    box = tight_box(mask)
    return _Outline(mask, int(np.count_nonzero(mask[box.y1 : box.y2, box.x1 : box.x2])), box)


def _overlaps_any(outline: _Outline, others: list[_Outline], threshold: float) -> bool:
    intersections = np.array([_intersection(outline, other) for other in others], np.int64)
    unions = outline.area + np.array([other.area for other in others], np.int64) - intersections
    epsilon = np.float32(1e-6)
    overlaps = (intersections.astype(np.float32) + epsilon) / (unions.astype(np.float32) + epsilon)
    return bool((overlaps > np.float32(threshold)).any())


def _intersection(a: _Outline, b: _Outline) -> int:
    """Pixels that both masks cover."""
    x1, y1 = max(a.box.x1, b.box.x1), max(a.box.y1, b.box.y1)
    x2, y2 = min(a.box.x2, b.box.x2), min(a.box.y2, b.box.y2)
    if y1 >= y2 or x1 >= x2:
        return 0
    return int(np.count_nonzero(a.mask[y1:y2, x1:x2] & b.mask[y1:y2, x1:x2]))
