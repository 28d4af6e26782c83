"""What every overlay draws with: patches, text, and sizes that follow from the picture's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vpp_deploy.frames import Size

Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Opacities, 0..255.
_PRUNED, _PRUNED_EDGE = 150, 190
_HEADER = 150
_SMALLEST_GRID = 6  # pixels per patch below which lines between patches would hide the picture


def dim(canvas: Image.Image, pruned: Mask, edges: Mask) -> None:
    """Darken pruned patches, with slightly darker lines between them.

    Args:
        canvas: is drawn on.
        pruned: `[H0, W0]`, the pixels of pruned patches.
        edges: `[H0, W0]`, the first row and column of every patch.
    """
    opacity = pruned * np.where(edges, np.uint8(_PRUNED_EDGE), np.uint8(_PRUNED))
    canvas.paste((0, 0, 0), mask=Image.fromarray(opacity))


def patch_edges(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Mask:
    """Pixels in the first row or column of a patch; none along an axis whose patches are too small for lines.

    Args:
        rows: `[H0]`, the row of patches of each row of pixels, ascending.
        columns: `[W0]`, likewise.

    Returns:
        `[H0, W0]`.
    """
    return _patch_starts(rows)[:, None] | _patch_starts(columns)[None, :]


def draw_header(canvas: Image.Image, lines: Sequence[str]) -> int:
    """A strip at the top with lines of text; returns its height in pixels."""
    font, pad, step = text_font(canvas), header_pad(canvas), header_step(canvas)
    height = min(canvas.height, len(lines) * step + pad)
    canvas.paste((0, 0, 0), (0, 0, canvas.width, height), Image.new("L", (canvas.width, height), _HEADER))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((pad, pad / 2 + (number + 0.5) * step), line, font=font, fill=(255, 255, 255), anchor="lm")
    return height


def keep_ratio_lines(canvas: Image.Image, what: str, keep_ratios: Mapping[str, float]) -> list[str]:
    """Lines for a header: what is kept, and which share of it at each point."""
    items = [what] + [f"{name.replace('_', ' ')}: {ratio:.0%}" for name, ratio in keep_ratios.items()]
    return wrap(items, text_font(canvas), canvas.width - 2 * header_pad(canvas))


def header_step(canvas: Image.Image) -> int:
    """Pixels from line to line of a header."""
    return round(font_size(canvas) * 1.3)


def header_pad(canvas: Image.Image) -> int:
    """Pixels that a header leaves free on each side of its text."""
    return font_size(canvas) // 3


def text_font(canvas: Image.Image) -> Font:
    """The font for text on a picture."""
    return _font(font_size(canvas))


def font_size(canvas: Image.Image) -> int:
    """Size in pixels of text on a picture."""
    return min(40, max(11, round(_shorter_side(canvas) / 32)))


def line_width(canvas: Image.Image) -> int:
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


def _shorter_side(canvas: Image.Image) -> int:
    return min(canvas.width, canvas.height)


def _patch_starts(index: npt.NDArray[np.intp]) -> Mask:
    starts = np.diff(index, prepend=index[:1]) > 0
    return starts & (len(index) >= _SMALLEST_GRID * (1 + int(index[-1])))
