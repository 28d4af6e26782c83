"""How a container or a camera wants frames to be turned."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

Matrix = npt.NDArray[np.int32]
"""`[3, 3]`; a point (x, y) is shown at (a·x + c·y, b·x + d·y) with a, b and c, d in the first two rows
(ISO/IEC 14496-12, track header box)."""


def display_matrix(frame: av.VideoFrame) -> Matrix | None:
    """The matrix of a decoded frame, which FFmpeg takes from the container, else from EXIF; None if there is none."""
    for data in _side_data(frame):
        if data.type == SideDataType.DISPLAYMATRIX:
            return np.frombuffer(bytes(data), np.int32).reshape(3, 3)
    return None


def turn_upright(image: npt.NDArray[np.uint8], matrix: Matrix) -> npt.NDArray[np.uint8]:
    """Apply a display matrix, rounded to quarter turns and mirrorings.

    Args:
        image: `[H, W, 3]` as decoded.
        matrix: to apply.
    """
    (a, b), (c, d) = matrix[:2, :2].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _side_data(frame: av.VideoFrame) -> Iterator[SideData]:
    """The side data of the kinds that PyAV has names for.

    PyAV raises `ValueError` at the first kind that it has none for (EXIF, in 18), and then has no side data at all.
    FFmpeg puts the display matrix in front of those, and the container that PyAV had begun keeps what it has read.
    """
    found = SideDataContainer.__new__(SideDataContainer)
    try:
        found.__init__(frame)  # type: ignore[misc]
        known = len(found)
    except ValueError:
        known = len(found) - 1
    return (found[number] for number in range(known))
