"""A video frame as the model sees it, with the geometry that leads back to the source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError

Size = tuple[int, int]
"""Height and width in pixels, in this order."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame, resized into the model's fixed input size.

    Attributes:
        image: `[H, W, 3]` uint8 RGB at the model's size. The picture fills the top-left `content_size`; the rest is
            padding (its value does not matter: the graph sets it to zero after normalisation).
        content_size: height and width of the picture inside `image`.
        original: `[H0, W0, 3]` uint8 RGB at the source's size, upright (rotation applied).
        index: position in the stream, from 0.
        time: presentation time in seconds, exactly as the container has it; None for sources without time (images).
        name: file name for frames that come from an image folder, else "".
    """

    image: npt.NDArray[np.uint8]
    content_size: Size
    original: npt.NDArray[np.uint8]
    index: int
    time: Fraction | None = None
    name: str = ""

    @property
    def original_size(self) -> Size:
        """Height and width of the source picture in pixels; masks and boxes are given at this size."""
        return self.original.shape[0], self.original.shape[1]


def check_frame(frame: object) -> None:
    """See that a session is given a frame.

    Raises:
        UsageError: something else.
    """
    if not isinstance(frame, Frame):
        raise UsageError(
            f"a session takes frames, as read_video gives them, not a {type(frame).__name__}; vpp_deploy.load(bundle) "
            "takes pictures"
        )


def check_size(size: object) -> None:
    """See that a size is two whole numbers of pixels.

    Raises:
        UsageError: it is something else.
    """
    sides = size if isinstance(size, tuple | list) else ()
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise UsageError(f"size is {size!r:.80}; give height and width in pixels, such as (384, 640)")
