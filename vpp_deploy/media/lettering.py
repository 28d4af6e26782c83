"""Text on pictures and in bars and strips beside them, of a size that follows from the picture's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from unicodedata import combining, normalize

import numpy as np
from PIL import ImageDraw, ImageFont

from vpp_deploy.frames import Size
from vpp_deploy.media.drawing import Canvas, Colour, pen_on
from vpp_deploy.media.palette import readable_on

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Final[Colour] = (24, 24, 27)
"""Of bars and strips."""
INK: Final[Colour] = (235, 235, 235)


class Item(NamedTuple):
    """A word or two in a bar.

    Attributes:
        text: what it says.
        swatch: colour of a small square in front of it; None for none.
        framed: the square has the outline of kept patches.
    """

    text: str
    swatch: Colour | None = None
    framed: bool = False


def font_size(size: Size) -> int:
    """Size in pixels of text that belongs to a picture of a height and width."""
    return max(11, round(min(size) / 36))


@lru_cache(maxsize=8)
def font(size: int) -> Font:
    """The font, of a size in pixels."""
    return ImageFont.load_default(size)


def row_height(size: int) -> int:
    """Pixels from line to line of a bar or strip, for text of a size; even, so that videos stay so."""
    return 2 * round(size * 0.8)


def text_size(text: str, size: int, pad: int) -> Size:
    """Height and width in pixels of a line of text with `pad` pixels around it."""
    _, top, _, bottom = font(size).getbbox("Ag")
    return round(bottom - top) + 2 * pad, round(font(size).getlength(text)) + 2 * pad


@lru_cache(maxsize=256)
def text_on_colour(text: str, colour: Colour, size: int) -> Canvas:
    """A line of text in black or white on a colour, with a little room around it. Read-only.

    Most labels of a frame are those of the frame before.

    Args:
        text: the line.
        colour: behind it.
        size: of the font, in pixels.
    """
    pad = size // 4
    label = np.full((*text_size(text, size, pad), 3), colour, np.uint8)
    with pen_on(label) as pen:
        pen.text((pad, len(label) / 2), text, font=font(size), fill=readable_on(colour), anchor="lm")
    label.setflags(write=False)
    return label


def shorten(text: str, size: int, width: float) -> str:
    """What of a name fits into `width` pixels: without the last of its synonyms (`cat, house cat`), or cut off.

    Accents are left out: the font has none.
    """
    letters = font(size)
    text = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
    while "," in text and letters.getlength(text) > width:
        text = text.rpartition(",")[0]
    if letters.getlength(text) <= width:
        return text
    fits = bisect_left(range(len(text)), True, key=lambda end: letters.getlength(f"{text[: end + 1]}...") > width)
    return f"{text[:fits].rstrip(' ,')}..."


def bar_height(items: Sequence[Item], size: int, width: int) -> int:
    """Height in pixels of a bar that holds items, for text of a size in pixels; even."""
    return len(_arrange(items, size, width)) * row_height(size) + 2 * (size // 4)


@lru_cache(maxsize=16)
def bar(items: tuple[Item, ...], size: int, shape: Size) -> Canvas:
    """A bar with items on as few lines as its width allows. Read-only; most frames have that of the frame before.

    Args:
        items: are never broken.
        size: of the text in pixels.
        shape: height and width in pixels.
    """
    canvas, lines = np.full((*shape, 3), PAPER, np.uint8), _arrange(items, size, shape[1])
    with pen_on(canvas) as pen:
        for number, line in enumerate(lines):
            x, y = float(size), shape[0] / 2 + (number - (len(lines) - 1) / 2) * row_height(size)
            for item in line:
                x = draw_item(pen, item, x, y, size) + 2 * size
    canvas.setflags(write=False)
    return canvas


def draw_item(pen: ImageDraw.ImageDraw, item: Item, x: float, y: float, size: int) -> float:
    """Draw an item with its left edge at `x` and its middle at `y`; returns its right edge."""
    if item.swatch is not None:
        corners = (x, y - size * 0.4, x + size * 0.8, y + size * 0.4)
        pen.rectangle(corners, item.swatch, INK if item.framed else item.swatch, max(1, size // 12))
    pen.text((x + _swatch_width(item, size), y), item.text, font=font(size), fill=INK, anchor="lm")
    return x + _item_width(item, size)


def _arrange(items: Sequence[Item], size: int, width: int) -> list[list[Item]]:
    lines: list[list[Item]] = []
    left = 0
    for item in items:
        taken = _item_width(item, size) + 2 * size
        if not lines or taken > left:
            lines.append([])
            left = width - size
        lines[-1].append(item)
        left -= taken
    return lines


def _item_width(item: Item, size: int) -> int:
    return round(font(size).getlength(item.text)) + _swatch_width(item, size)


def _swatch_width(item: Item, size: int) -> int:
    return round(1.2 * size) if item.swatch is not None else 0
