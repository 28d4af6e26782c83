"""The strip beside a classified picture: labels, and a legend of what is drawn on the picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from PIL import ImageDraw

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.frames import Size
from vpp_deploy.media.drawing import Canvas, pen_on
from vpp_deploy.media.lettering import INK, PAPER, Item, draw_item, font, font_size, row_height, shorten
from vpp_deploy.media.palette import heat
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.overlay_style import OverlayStyle

_WIDTH: Final = 16
"""Of the strip, in sizes of its text."""
_LEGEND_ROWS: Final = 5
_KEPT_SWATCH, _PRUNED_SWATCH = (190, 170, 140), (96, 96, 96)
_SHARE, _TRACK = (86, 180, 233), (63, 63, 70)
"""Of the lines below labels: the probability, and all of it."""


def strip_size(size: Size) -> Size:
    """The least height and the width in pixels of the strip beside a picture of a size; even."""
    letters = font_size(size)
    return 2 * letters + _LEGEND_ROWS * row_height(letters) + _label_height(letters), 2 * round(_WIDTH * letters / 2)


def draw_strip(
    canvas: Canvas,
    size: Size,
    result: ClassificationResult,
    manifest: ClassificationManifest,
    style: OverlayStyle,
    point: str | None,
) -> None:
    """Fill a canvas with labels, as many as there is room for, and the legend of what the style shows.

    Args:
        canvas: `[H, W, 3]`, at least `strip_size`.
        size: height and width of the picture beside it.
        result: what came out.
        manifest: of the classifier's bundle.
        style: what is drawn.
        point: the pruning point that is shown; None of a dense model.
    """
    canvas[...] = np.full(canvas.shape[1:], PAPER, np.uint8)  # rows as wholes: several times as fast as pixels
    letters = font_size(size)
    room = (len(canvas) - 2 * letters - _LEGEND_ROWS * row_height(letters)) // _label_height(letters)
    y = letters
    if "labels" in style.parts:
        for label, score in zip(result.labels[:room].tolist(), result.scores.tolist(), strict=False):
            _draw_label(canvas[y : y + _label_height(letters)], manifest.class_names[label], score, letters)
            y += _label_height(letters)
        y += letters // 2
    if point is not None:
        lines = _legend_lines(result, style, point)
        legend = _legend(lines, scale="heat" in style.parts, width=canvas.shape[1], letters=letters)
        canvas[y : y + len(legend)] = legend


def _draw_label(canvas: Canvas, name: str, score: float, letters: int) -> None:
    width, middle, share = canvas.shape[1] - letters, 0.45 * len(canvas), f"{100 * score:.1f} %"
    line = max(2, letters // 6)
    with pen_on(canvas) as pen:
        left = width - font(letters).getlength(share)
        pen.text((width, middle), share, font=font(letters), fill=INK, anchor="rm")
        pen.text(
            (letters, middle), shorten(name, letters, left - 1.5 * letters), font=font(letters), fill=INK, anchor="lm"
        )
        top = len(canvas) - 2 * line - 1
        pen.rectangle((letters, top, width - 1, top + line - 1), _TRACK)
        if (end := round(letters + score * (width - letters))) > letters:
            pen.rectangle((letters, top, end - 1, top + line - 1), _SHARE)


def _legend_lines(result: ClassificationResult, style: OverlayStyle, point: str) -> tuple[tuple[Item, ...], ...]:
    ratios = result.keep_ratios
    lines: list[tuple[Item, ...]] = [(Item(f"patches kept {100 * ratios[point]:.0f} %"),)]
    if len(ratios) > 1:
        lines.append((Item(f"point by point {', '.join(f'{100 * ratio:.0f}' for ratio in ratios.values())} %"),))
    if "patches" in style.parts:
        lines.append((Item("kept", _KEPT_SWATCH, framed=True), Item("pruned", _PRUNED_SWATCH)))
    if "heat" in style.parts:
        lines.append((Item("patch significance"),))
    return tuple(lines)


@lru_cache(maxsize=8)
def _legend(lines: tuple[tuple[Item, ...], ...], *, scale: bool, width: int, letters: int) -> Canvas:
    """Lines of items, and below them the colours of the heat map. Read-only; most pictures have that of the one before.

    Args:
        lines: from the top.
        scale: show the colours.
        width: in pixels.
        letters: size of the text in pixels.
    """
    step = row_height(letters)
    canvas = np.full((_LEGEND_ROWS * step, width, 3), PAPER, np.uint8)
    with pen_on(canvas) as pen:
        for row, line in enumerate(lines):
            x = float(letters)
            for item in line:
                x = draw_item(pen, item, x, (row + 0.5) * step, letters) + letters
        if scale:
            _draw_scale(pen, letters, width - letters, round((len(lines) + 0.5) * step), letters)
    canvas.setflags(write=False)
    return canvas


def _draw_scale(pen: ImageDraw.ImageDraw, left: int, right: int, y: int, letters: int) -> None:
    """A bar of the heat map's colours between words for its ends."""
    pen.text((left, y), "least", font=font(letters), fill=INK, anchor="lm")
    pen.text((right, y), "most", font=font(letters), fill=INK, anchor="rm")
    begin = left + round(font(letters).getlength("least")) + letters // 2
    end = right - round(font(letters).getlength("most")) - letters // 2
    for x, colour in zip(range(begin, end), heat(np.linspace(0, 1, max(1, end - begin))).tolist(), strict=False):
        pen.line((x, y - letters // 3, x, y + letters // 3), tuple(colour))


def _label_height(letters: int) -> int:
    return 2 * letters
