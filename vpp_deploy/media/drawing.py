"""What every overlay draws with: areas, patches and trails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vpp_deploy.frames import Size

Canvas = npt.NDArray[np.uint8]
"""`[H, W, 3]` RGB, drawn on in place; contiguous, or part of one that is."""
Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]

OUTLINE: Final[Colour] = (245, 245, 245)
"""Between patches that are kept and those that are not."""
_PRUNED: Final = 0.6
"""How much of its light a part of the picture keeps that was pruned."""
_LIFT: Final = 20  # of 255, so that dark pictures do not go black
_LUMA: Final = np.array([round(256 * _PRUNED * share) for share in (0.299, 0.587, 0.114)], np.uint16)
"""In 1/256, as is `_LIFTED`; so that the sum of three is below 2^16."""
_LIFTED: Final = np.uint16(round(256 * _LIFT * (1 - _PRUNED)) + 128)
_MOST_DOTS: Final = 1000  # of a trail, however long it is
_PIXEL: Final = np.dtype("V3")
_AT_ONCE: Final = 1 << 17
"""Values worked on together: few enough that they stay in a core's cache."""


def tint(canvas: Canvas, colours: npt.ArrayLike, mask: Mask | None = None) -> None:
    """Lay a colour over a picture: each pixel becomes 5/8 of itself and 3/8 of the colour.

    Args:
        canvas: is drawn on.
        colours: `[3]`, one colour for all; or `[W, 3]`, one for each column.
        mask: `[H, W]`, where; None for everywhere.
    """
    ink = np.broadcast_to(np.asarray(colours, np.uint8), canvas.shape[1:]).reshape(-1) // 8 * 3
    at_once = max(1, _AT_ONCE // max(1, len(ink)))
    for start in range(0, len(canvas), at_once):
        part = canvas[start : start + at_once]
        lines = np.ascontiguousarray(part).reshape(len(part), -1)
        mixed = lines >> 1
        mixed += lines >> 3
        mixed += ink
        if mask is None:
            part[...] = mixed.reshape(part.shape)
        else:
            np.copyto(_pixels(part), mixed.view(_PIXEL), where=mask[start : start + at_once])


def fill(canvas: Canvas, colour: Colour, mask: Mask) -> None:
    """Set the pixels where `mask` `[H, W]` is true to a colour."""
    _pixels(canvas)[mask] = np.array(colour, np.uint8).view(_PIXEL)


def darken(canvas: Canvas) -> None:
    """Take most of the light from a picture."""
    at_once = max(1, _AT_ONCE // max(1, 3 * canvas.shape[1]))
    for start in range(0, len(canvas), at_once):
        part = canvas[start : start + at_once]
        part[...] = (part >> 2) + np.uint8(_LIFT - (_LIFT >> 2))


def mute_patches(canvas: Canvas, pruned: Mask, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> None:
    """Take the colour and some of the light from the patches that were pruned, so that they can still be read.

    Args:
        canvas: is drawn on.
        pruned: `[rows, columns]`, of the grid of patches.
        rows: `[H]`, the row of patches of each row of pixels, ascending.
        columns: `[W]`, likewise.
    """
    edges = np.searchsorted(columns, np.arange(pruned.shape[1] + 1))
    for row, band in patch_rows(rows):
        changes = np.flatnonzero(np.diff(pruned[row], prepend=False, append=False))
        runs = [(begin, end) for begin, end in edges[changes].reshape(-1, 2).tolist() if begin < end]
        if runs:
            first, last = runs[0][0], runs[-1][1]
            grey = _muted(canvas[band, first:last])
            for begin, end in runs:
                canvas[band, begin:end] = grey[:, begin - first : end - first]


def outline_patches(canvas: Canvas, kept: Mask, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> None:
    """Draw a line between patches that are kept and their neighbours that are not.

    Args:
        canvas: is drawn on.
        kept: `[rows, columns]`, of the grid of patches.
        rows: `[H]`, the row of patches of each row of pixels, ascending.
        columns: `[W]`, likewise.
    """
    width = line_width((canvas.shape[0], canvas.shape[1]))
    for area, chosen, along, across in (
        (canvas, kept, rows, columns),
        (canvas.swapaxes(0, 1), kept.T, columns, rows),
    ):
        edges = np.searchsorted(across, np.arange(chosen.shape[1] + 1)).tolist()
        for row, band in patch_rows(along):
            reach = slice(max(0, band.start - width // 2), band.stop + (width + 1) // 2)  # so that corners are closed
            for column in (1 + np.flatnonzero(np.diff(chosen[row]))).tolist():
                if 0 < edges[column] < area.shape[1]:
                    begin = max(0, edges[column] - width // 2)
                    area[reach, begin : begin + width] = OUTLINE


def patch_rows(rows: npt.NDArray[np.intp]) -> Iterator[tuple[int, slice]]:
    """Each row of patches that has pixels, with their rows of pixels.

    Args:
        rows: `[H]`, the row of patches of each row of pixels, ascending.
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(rows[start]), slice(start, stop)


def paint_trail(canvas: Canvas, points: Sequence[tuple[float, float]], colour: Colour) -> None:
    """Draw the way of something, which fades towards its begin.

    Args:
        canvas: is drawn on.
        points: x and y in pixels, the oldest first.
        colour: of the line.
    """
    way = np.array(points, np.float64).reshape(-1, 2)
    ends = np.concatenate([[0.0], np.hypot(*np.diff(way, axis=0).T).cumsum()])
    dot = _dot(line_width((canvas.shape[0], canvas.shape[1])))
    reach = len(dot) // 2
    if ends[-1] < reach:
        return
    places = np.linspace(0, ends[-1], min(_MOST_DOTS, int(ends[-1] / reach) + 1))
    x, y = (np.interp(places, ends, way[:, axis]).astype(np.intp) for axis in (0, 1))
    left, top = int(x.min()) - reach, int(y.min()) - reach
    height, width = int(y.max()) + reach + 1 - top, int(x.max()) + reach + 1 - left
    layer = np.zeros(height * width, np.float32)
    rows, columns = np.nonzero(dot)
    pixels = ((y - reach - top) * width + x - reach - left)[:, None] + (rows * width + columns)
    np.maximum.at(layer, pixels, np.linspace(0.1, 0.9, len(places), dtype=np.float32)[:, None] * dot[rows, columns])
    area = canvas[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    layer = layer.reshape(height, width)[max(0, -top) :, max(0, -left) :][: area.shape[0], : area.shape[1]]
    drawn = layer > 0
    share, under = layer[drawn][:, None], area[drawn]
    area[drawn] = (under + share * (np.array(colour, np.float32) - under)).round().astype(np.uint8)


@lru_cache(maxsize=8)
def _dot(line: int) -> npt.NDArray[np.float32]:
    """Opacities of a disc a little thicker than a line, soft at its edge."""
    reach = line + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    opacity: npt.NDArray[np.float64] = np.clip(0.9 + 0.8 * line - np.hypot(x, y), 0, 1)
    return opacity.astype(np.float32)


@contextmanager
def pen_on(canvas: Canvas) -> Iterator[ImageDraw.ImageDraw]:
    """A pen of Pillow's on a canvas; the smaller that is, the less there is to copy."""
    picture = Image.fromarray(canvas)
    yield ImageDraw.Draw(picture)
    canvas[...] = np.asarray(picture)


def line_width(size: Size) -> int:
    """Width in pixels of lines on a picture of a height and width."""
    return max(1, round(min(size) / 360))


def _muted(canvas: Canvas) -> npt.NDArray[np.uint8]:
    """The picture in grey, darker: luma (ITU-R BT.601) times `_PRUNED`, plus a part of `_LIFT`.

    Pixels are worked on as one line of bytes, so that numpy's loops are long: each byte is added to the two behind it,
    the sums that begin a pixel are kept, and each is laid over its pixel's other two bytes.
    """
    height, width = canvas.shape[:2]
    weights = np.tile(_LUMA, width)
    begins = np.tile(np.array([255, 0, 0], np.uint8), width)[:-2]
    grey = np.zeros((height, 3 * width), np.uint8)
    at_once = max(1, _AT_ONCE // (6 * width))
    for start in range(0, height, at_once):
        lines = np.ascontiguousarray(canvas[start : start + at_once]).reshape(-1, 3 * width)
        weighted = lines * weights
        sums = weighted[:, :-2] + weighted[:, 1:-1]
        sums += weighted[:, 2:]
        sums += _LIFTED
        sums >>= 8
        light = sums.astype(np.uint8)
        light &= begins
        for offset in range(3):
            grey[start : start + at_once, offset : offset + light.shape[1]] |= light
    return grey.reshape(canvas.shape)


def _pixels(canvas: Canvas) -> npt.NDArray[np.void]:
    """A view `[H, W]` of pixels as wholes: numpy copies runs of them at once, but single values one by one."""
    return canvas.view(_PIXEL)[..., 0]
