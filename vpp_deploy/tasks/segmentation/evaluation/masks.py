"""Masks as annotation files have them: compressed RLE, uncompressed RLE or polygons; all become compressed RLE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from vpp_deploy.frames import Size
from vpp_deploy.tasks.segmentation.writers import Rle

_OFFSET, _VALUE_BITS, _SIGN, _MORE = 48, 0x1F, 0x10, 0x20
"""COCO's compressed counts: characters from "0" on with 5 bits of a number each, low ones first, and a bit for more."""


def read_mask(segmentation: Any, size: Size) -> Rle | None:
    """A segmentation of any kind as compressed RLE; None if it has no pixel.

    Nothing is handed to pycocotools before it has been checked: its C code trusts what it gets.

    Args:
        segmentation: as read from JSON: RLE `{"size", "counts"}`, a list of polygons `[x0, y0, x1, y1, ...]`, or null.
        size: height and width of the video in pixels.

    Raises:
        ValueError: it is none of these, or does not fit the size; the message says why.
    """
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        rle = _read_rle(segmentation, size)
    elif isinstance(segmentation, list):
        _check_polygons(segmentation, size)
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    else:
        raise ValueError(f"a segmentation is RLE, polygons or null, not {type(segmentation).__name__}")
    if not coco_mask.area(rle):
        return None
    return {"size": list(size), "counts": rle["counts"].decode("ascii")}


def box_of(mask: Rle) -> list[float]:
    """`x, y, width, height` in pixels, tight around a mask."""
    return [float(value) for value in coco_mask.toBbox(mask)]


def run_lengths(counts: str) -> list[int]:
    """The run lengths in COCO's compressed counts: background first, column by column.

    Raises:
        ValueError: a character that is none of the code, or a number that does not end.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - _OFFSET
        if not 0 <= code <= _VALUE_BITS | _MORE:
            raise ValueError(f"the counts have the character {character!r}, which is not part of compressed RLE")
        value |= (code & _VALUE_BITS) << shift
        shift += 5
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))  # from the fourth on, differences to the last but one
        value = shift = 0
    if shift:
        raise ValueError("the counts are cut short")
    return runs


def _read_rle(rle: dict[str, Any], size: Size) -> Rle:
    if rle.get("size") != list(size):
        raise ValueError(f"an RLE of size {rle.get('size')}, the video is {list(size)} (height, width)")
    counts = rle.get("counts")
    if isinstance(counts, str):
        runs = run_lengths(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        runs = counts
    else:
        raise ValueError("an RLE whose counts are neither a string nor a list of integers")
    if sum(runs) != math.prod(size) or any(run < 0 for run in runs):
        raise ValueError(f"an RLE of {sum(runs)} pixels, {size[0]}x{size[1]} are {math.prod(size)}")
    compressed: Rle = coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)
    return compressed


def _check_polygons(polygons: Sequence[Any], size: Size) -> None:
    height, width = size
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon that is not a list of at least three points x, y")
        if not all(type(value) in (int, float) for value in polygon):
            raise ValueError("a polygon with coordinates that are not numbers")
        inside = (
            -limit <= value <= 2 * limit  # some tools draw beyond the edge; NaN is never inside
            for value, limit in zip(polygon, [width, height] * (len(polygon) // 2), strict=True)
        )
        if not all(inside):
            raise ValueError(f"a polygon far outside the picture of {height}x{width} pixels")
