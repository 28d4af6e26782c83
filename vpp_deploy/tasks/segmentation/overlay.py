"""Draw a frame's result onto the frame: pruned patches, masks, boxes, labels and keep ratios."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Frame
from vpp_deploy.media.drawing import (
    Canvas,
    Colour,
    dim,
    draw_header,
    fill,
    font_size,
    keep_ratio_lines,
    line_width,
    text_on_colour,
    tint,
)
from vpp_deploy.media.letterbox import token_index
from vpp_deploy.tasks.segmentation.results import FrameResult, Instances

_MASK = 96
"""Opacity, 0..255."""


def draw(frame: Frame, result: FrameResult, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The whole overlay on the source picture.

    Args:
        frame: the frame that went in.
        result: what came out for it.
        class_names: a name for each label (`Manifest.class_names`).

    Returns:
        `[H0, W0, 3]` uint8 RGB at the source's size. The frame itself is not changed.
    """
    canvas = frame.original.copy()
    if result.kept:
        dim_pruned(canvas, frame, result)
    weakest_first = [int(row) for row in np.argsort(result.instances.scores, kind="stable")]
    for row in weakest_first:
        paint_mask(canvas, result.instances, row)
    header = draw_keep_ratios(canvas, result.keep_ratios) if result.kept else 0
    for row in weakest_first:
        draw_label(canvas, result.instances, row, class_names, below=header)
    return canvas


def identity_colour(identity: int) -> Colour:
    """A vivid colour that stays with an identity; neighbours in number are far apart in hue (golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb((0.07 + identity * 0.6180339887) % 1.0, 0.75, (1.0, 0.85)[identity % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


def dim_pruned(canvas: Canvas, frame: Frame, result: FrameResult) -> None:
    """Darken the patches that the last selection point pruned, with slightly darker lines between them."""
    kept = np.zeros(result.grid[0] * result.grid[1], np.bool_)
    kept[list(result.kept.values())[-1]] = True
    rows = token_index(frame.original_size[0], frame.content_size[0], frame.image.shape[0], result.grid[0])
    columns = token_index(frame.original_size[1], frame.content_size[1], frame.image.shape[1], result.grid[1])
    dim(canvas, ~kept.reshape(result.grid), rows, columns)


def paint_mask(canvas: Canvas, instances: Instances, row: int) -> None:
    """Fill one instance's mask with its colour, translucent, with an opaque outline; and draw its box."""
    left, top, right, bottom = _box(instances, row)
    if right <= left or bottom <= top:
        return
    mask, area = instances.masks[row, top:bottom, left:right], canvas[top:bottom, left:right]
    line = line_width(canvas)
    inner = mask.copy()
    for inside, covered in ((inner, mask), (inner.T, mask.T)):  # along both axes, from both sides
        inside[:line] = inside[-line:] = False
        inside[line:] &= covered[:-line]
        inside[:-line] &= covered[line:]
    colour = identity_colour(int(instances.identities[row]))
    tint(area, colour, _MASK, inner)
    fill(area, colour, mask ^ inner)
    frame = max(1, line // 2)
    area[:frame] = area[-frame:] = area[:, :frame] = area[:, -frame:] = colour


def draw_label(canvas: Canvas, instances: Instances, row: int, class_names: Sequence[str], *, below: int = 0) -> None:
    """Write `#identity class score` on the instance's colour: above its box, or inside where there is no room.

    The label stays below the first `below` rows of the picture.
    """
    left, top, right, bottom = _box(instances, row)
    if right <= left or bottom <= top:
        return
    name = class_names[int(instances.labels[row])]
    text = f"#{int(instances.identities[row])} {name} {float(instances.scores[row]):.2f}"
    label = text_on_colour(text, identity_colour(int(instances.identities[row])), font_size(canvas))
    height, width = label.shape[:2]
    x = max(0, min(left, canvas.shape[1] - width))
    y = top - height if top - height >= below else min(max(top, below), max(0, len(canvas) - height))
    place = canvas[y : y + height, x : x + width]
    place[...] = label[: place.shape[0], : place.shape[1]]


def draw_keep_ratios(canvas: Canvas, keep_ratios: Mapping[str, float]) -> int:
    """A strip at the top with the share of tokens that each selection point kept; returns its height in pixels."""
    return draw_header(canvas, keep_ratio_lines(canvas, "tokens kept", keep_ratios))


def _box(instances: Instances, row: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = instances.boxes[row].tolist()
    height, width = instances.masks.shape[1:]
    return max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))
