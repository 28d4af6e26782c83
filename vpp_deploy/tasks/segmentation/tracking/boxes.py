"""The tight box of a mask."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt


class Box(NamedTuple):
    """`x1, y1, x2, y2` in pixels; x2 and y2 are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int


EMPTY_BOX: Final = Box(0, 0, 0, 0)


def tight_box(mask: npt.NDArray[np.bool_], top: int = 0, left: int = 0) -> Box:
    """The smallest box around a `[H, W]` mask whose first pixel lies at (`top`, `left`); zeros for an empty mask."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return EMPTY_BOX
    return Box(left + int(xs[0]), top + int(ys[0]), left + int(xs[-1]) + 1, top + int(ys[-1]) + 1)
