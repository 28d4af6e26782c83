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

    @property
    def window(self) -> tuple[slice, slice]:
        """Its rows and columns, to index `[H, W]` with."""
        return slice(self.y1, self.y2), slice(self.x1, self.x2)


EMPTY_BOX: Final = Box(0, 0, 0, 0)


def tight_box(mask: npt.NDArray[np.bool_], top: int = 0, left: int = 0) -> Box:
    """The smallest box around a `[H, W]` mask whose first pixel lies at (`top`, `left`); zeros for an empty mask."""
    ys = np.flatnonzero(mask.any(axis=1))
    if not len(ys):
        return EMPTY_BOX
    y1, y2 = int(ys[0]), int(ys[-1]) + 1
    xs = np.flatnonzero(mask[y1:y2].any(axis=0))
    return Box(left + int(xs[0]), top + y1, left + int(xs[-1]) + 1, top + y2)
