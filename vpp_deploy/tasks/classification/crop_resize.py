"""A part of a resized picture without the rest of it.

Pillow resamples the whole picture; of a strip of 60000 x 1 pixels that is scaled until its shorter side fits a model,
that would be gigabytes, of which the model sees the middle. The bits are Pillow's where it works along the rows first:
of pictures that become higher always, of others before version 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Size

_PRECISION: Final = 22
"""Bits behind the point of Pillow's weights for 8-bit channels (32 less 8 of the pixel and 2 to spare)."""


class Filter(NamedTuple):
    """A resampling filter: how far it reaches at full size, in source pixels, and its values at distances."""

    support: float
    values: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _triangle(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x = np.abs(distance)
    return np.where(x < 1, 1 - x, 0.0)


def _keys(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x, a = np.abs(distance), -0.5
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


FILTERS: Final = {"bilinear": Filter(1.0, _triangle), "bicubic": Filter(2.0, _keys)}


class _Taps(NamedTuple):
    """For one target pixel: the first source pixel that counts, and the weights of it and those behind it."""

    first: int
    weights: npt.NDArray[np.int64]


def resized_part(
    image: npt.NDArray[np.uint8], resized: Size, corner: tuple[int, int], size: Size, kind: Filter
) -> npt.NDArray[np.uint8]:
    """What `Image.resize` to `resized` and then `Image.crop` give, in memory for the picture and the part.

    Args:
        image: `[H0, W0, 3]` uint8.
        resized: height and width of the whole.
        corner: top and left of the part in the whole.
        size: height and width of the part, which lies inside the whole.
        kind: the filter.

    Returns:
        `[H, W, 3]` uint8.
    """
    rows = [_taps(image.shape[0], resized[0], corner[0] + row, kind) for row in range(size[0])]
    columns = [_taps(image.shape[1], resized[1], corner[1] + column, kind) for column in range(size[1])]
    begin, end = min(tap.first for tap in rows), max(tap.first + len(tap.weights) for tap in rows)
    across = _resample(image[begin:end].transpose(1, 0, 2), columns).transpose(1, 0, 2)
    return np.ascontiguousarray(_resample(across, [tap._replace(first=tap.first - begin) for tap in rows]))


def _taps(source: int, target: int, position: int, kind: Filter) -> _Taps:
    scale = source / target
    stretch = max(scale, 1.0)
    centre, reach = (position + 0.5) * scale, kind.support * stretch
    first, end = max(0, math.trunc(centre - reach + 0.5)), min(source, math.trunc(centre + reach + 0.5))
    weights = kind.values((np.arange(first, end, dtype=np.float64) - centre + 0.5) * (1.0 / stretch))
    weights = weights / np.cumsum(weights)[-1]  # summed in order, as a loop does
    return _Taps(first, np.trunc(weights * (1 << _PRECISION) + np.copysign(0.5, weights)).astype(np.int64))


def _resample(pixels: npt.NDArray[np.uint8], taps: list[_Taps]) -> npt.NDArray[np.uint8]:
    """Pixels `[N, M, 3]` along the first axis: `[len(taps), M, 3]`."""
    result = np.empty((len(taps), *pixels.shape[1:]), np.uint8)
    for place, (first, weights) in enumerate(taps):
        total = np.tensordot(weights, pixels[first : first + len(weights)].astype(np.int64), axes=1)
        result[place] = np.clip((total + (1 << (_PRECISION - 1))) >> _PRECISION, 0, 255)
    return result
