"""What every overlay draws with: patches, text, and sizes that follow from the picture's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vpp_deploy.frames import Size

Canvas = npt.NDArray[np.uint8]
"""`[H, W, 3]` RGB, drawn on in place; contiguous, or part of one that is."""
Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Levels = int | npt.NDArray[np.uint16]

# Opacities, 0..255.
_PRUNED, _PRUNED_EDGE = 150, 190
_HEADER = 150
_SMALLEST_GRID = 6  # pixels per patch below which lines between patches would hide the picture
_PIXEL: Final = np.dtype("V3")
_AT_ONCE: Final = 1 << 17
"""Values blended together: few enough that they stay in a core's cache."""


def blend(lines: npt.NDArray[np.uint8], colour: Levels, opacity: Levels) -> None:
    """Paint translucently: each value becomes (value · (255 - opacity) + colour · opacity) / 255, rounded.

    Args:
        lines: `[rows, n]`, painted in place; n is 3 times a width.
        colour: 0..255, one for all or `[n]`.
        opacity: 0..255, one for all or `[n]`.
    """
    at_once = max(1, _AT_ONCE // max(1, lines.shape[1]))
    added = colour * opacity + 128
    for start in range(0, len(lines), at_once):
        part = lines[start : start + at_once]
        mixed = part.astype(np.uint16)
        mixed *= 255 - opacity
        mixed += added
        mixed += mixed >> 8  # with the next line, a division by 255
        mixed >>= 8
        part[...] = mixed


def tint(canvas: Canvas, colour: Colour, opacity: int, mask: Mask) -> None:
    """Paint the pixels where `mask` `[H, W]` is true translucently in a colour; `opacity` is in 0..255."""
    at_once = max(1, _AT_ONCE // (3 * max(1, canvas.shape[1])))
    ink = np.tile(np.array(colour, np.uint16), at_once * canvas.shape[1])
    for start in range(0, len(canvas), at_once):
        part = slice(start, start + at_once)
        pixels, inside = _pixels(canvas[part]), mask[part]
        chosen = pixels[inside]
        blend(chosen.view(np.uint8)[None], ink[: 3 * len(chosen)], opacity)
        pixels[inside] = chosen


def fill(canvas: Canvas, colour: Colour, mask: Mask) -> None:
    """Set the pixels where `mask` `[H, W]` is true to a colour."""
    _pixels(canvas)[mask] = np.array(colour, np.uint8).view(_PIXEL)


def lines_of(canvas: Canvas) -> npt.NDArray[np.uint8]:
    """A view `[H, 3W]` of a canvas."""
    return canvas.reshape(len(canvas), 3 * canvas.shape[1])


def dim(canvas: Canvas, pruned: Mask, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> None:
    """Darken pruned patches, with slightly darker lines between them unless patches are too small for lines.

    Args:
        canvas: is drawn on.
        pruned: `[rows, columns]`, of the grid of patches.
        rows: `[H]`, the row of patches of each row of pixels, ascending.
        columns: `[W]`, likewise.
    """
    edge_rows, edge_columns = _patch_starts(rows), _patch_starts(columns)
    for row, band in patch_rows(rows):
        lines, dimmed = lines_of(canvas[band]), pruned[row].take(columns)
        edge = np.repeat(dimmed * np.uint16(_PRUNED_EDGE), 3)
        within = np.repeat(dimmed * np.where(edge_columns, np.uint16(_PRUNED_EDGE), np.uint16(_PRUNED)), 3)
        first = int(edge_rows[band.start])
        blend(lines[:first], 0, edge)
        blend(lines[first:], 0, within)


def patch_rows(rows: npt.NDArray[np.intp]) -> Iterator[tuple[int, slice]]:
    """Each row of patches that has pixels, with their rows of pixels.

    Args:
        rows: `[H]`, the row of patches of each row of pixels, ascending.
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(rows[start]), slice(start, stop)


def draw_header(canvas: Canvas, lines: Sequence[str]) -> int:
    """A strip at the top with lines of text; returns its height in pixels."""
    font, pad, step = text_font(canvas), header_pad(canvas), header_step(canvas)
    height = min(len(canvas), len(lines) * step + pad)
    blend(lines_of(canvas[:height]), 0, _HEADER)
    with pen_on(canvas[:height]) as pen:
        for number, line in enumerate(lines):
            pen.text((pad, pad / 2 + (number + 0.5) * step), line, font=font, fill=(255, 255, 255), anchor="lm")
    return height


@lru_cache(maxsize=256)
def text_on_colour(text: str, colour: Colour, size: int) -> Canvas:
    """A line of text in black or white on a colour, with a little room around it. Read-only.

    Most labels of a frame are those of the frame before.

    Args:
        text: the line.
        colour: behind it.
        size: of the font, in pixels.
    """
    font, pad = _font(size), size // 4
    width, height = text_size(font, text, pad)
    label = np.full((height, width, 3), colour, np.uint8)
    with pen_on(label) as pen:
        pen.text((pad, height / 2), text, font=font, fill=readable_on(colour), anchor="lm")
    label.setflags(write=False)
    return label


@contextmanager
def pen_on(canvas: Canvas) -> Iterator[ImageDraw.ImageDraw]:
    """A pen of Pillow's on a canvas; the smaller that is, the less there is to copy."""
    picture = Image.fromarray(canvas)
    yield ImageDraw.Draw(picture)
    canvas[...] = np.asarray(picture)


def keep_ratio_lines(canvas: Canvas, what: str, keep_ratios: Mapping[str, float]) -> list[str]:
    """Lines for a header: what is kept, and which share of it at each point."""
    items = [what] + [f"{name.replace('_', ' ')}: {ratio:.0%}" for name, ratio in keep_ratios.items()]
    return wrap(items, text_font(canvas), canvas.shape[1] - 2 * header_pad(canvas))


def header_step(canvas: Canvas) -> int:
    """Pixels from line to line of a header."""
    return round(font_size(canvas) * 1.3)


def header_pad(canvas: Canvas) -> int:
    """Pixels that a header leaves free on each side of its text."""
    return font_size(canvas) // 3


def text_font(canvas: Canvas) -> Font:
    """The font for text on a picture."""
    return _font(font_size(canvas))


def font_size(canvas: Canvas) -> int:
    """Size in pixels of text on a picture."""
    return min(40, max(11, round(_shorter_side(canvas) / 32)))


def line_width(canvas: Canvas) -> int:
    """Width in pixels of lines on a picture."""
    return max(1, round(_shorter_side(canvas) / 360))


def text_size(font: Font, text: str, pad: int) -> Size:
    """Width and height in pixels of a line of text with `pad` pixels around it."""
    _, top, _, bottom = font.getbbox("Ag")
    return round(font.getlength(text)) + 2 * pad, round(bottom - top) + 2 * pad


def wrap(items: Sequence[str], font: Font, width: int) -> list[str]:
    """Items on as few lines as `width` pixels allow; an item is never broken."""
    lines = [items[0]]
    for item in items[1:]:
        longer = f"{lines[-1]}   {item}"
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(item)
    return lines


def shorten(text: str, font: Font, width: float) -> str:
    """The text, cut off with `...` where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip(' ,')}..."


def readable_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour."""
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luminance > 128 else (255, 255, 255)


@lru_cache(maxsize=8)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _shorter_side(canvas: Canvas) -> int:
    side: int = min(canvas.shape[:2])
    return side


def _pixels(canvas: Canvas) -> npt.NDArray[np.void]:
    """A view `[H, W]` of pixels as wholes: numpy copies runs of them at once, but single values one by one."""
    return canvas.view(_PIXEL)[..., 0]


def _patch_starts(index: npt.NDArray[np.intp]) -> Mask:
    starts = np.diff(index, prepend=index[:1]) > 0
    return starts & (len(index) >= _SMALLEST_GRID * (1 + int(index[-1])))
