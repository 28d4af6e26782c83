"""Draw a frame's result onto the frame: pruned patches, masks, boxes, labels and keep ratios."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vpp_deploy.frames import Frame
from vpp_deploy.media.drawing import (
    Colour,
    Mask,
    dim,
    draw_header,
    font_size,
    keep_ratio_lines,
    line_width,
    patch_edges,
    readable_on,
    text_font,
    text_size,
)
from vpp_deploy.media.letterbox import token_index
from vpp_deploy.tasks.segmentation.results import FrameResult, Instances

# Opacities, 0..255.
_MASK, _OUTLINE = 96, 255


def draw(frame: Frame, result: FrameResult, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The whole overlay on the source picture.

    Args:
        frame: the frame that went in.
        result: what came out for it.
        class_names: a name for each label (`Manifest.class_names`).

    Returns:
        `[H0, W0, 3]` uint8 RGB at the source's size. The frame itself is not changed.
    """
    canvas = Image.fromarray(frame.original)
    if result.kept:
        dim_pruned(canvas, frame, result)
    weakest_first = [int(row) for row in np.argsort(result.instances.scores, kind="stable")]
    for row in weakest_first:
        paint_mask(canvas, result.instances, row)
    header = draw_keep_ratios(canvas, result.keep_ratios) if result.kept else 0
    for row in weakest_first:
        draw_label(canvas, result.instances, row, class_names, below=header)
    return np.array(canvas)


def identity_colour(identity: int) -> Colour:
    """A vivid colour that stays with an identity; neighbours in number are far apart in hue (golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb((0.07 + identity * 0.6180339887) % 1.0, 0.75, (1.0, 0.85)[identity % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


def pruned_pixels(frame: Frame, result: FrameResult) -> tuple[Mask, Mask]:
    """Where the last selection point of the frame pruned, at the source's size.

    Returns:
        `[H0, W0]` bool: pixels whose centre lies in a pruned patch; and `[H0, W0]` bool: pixels in the first row or
        column of any patch (nowhere, if patches are too small for lines between them).
    """
    kept = np.zeros(result.grid[0] * result.grid[1], np.bool_)
    kept[list(result.kept.values())[-1]] = True
    rows = token_index(frame.original_size[0], frame.content_size[0], frame.image.shape[0], result.grid[0])
    columns = token_index(frame.original_size[1], frame.content_size[1], frame.image.shape[1], result.grid[1])
    pruned = ~kept.reshape(result.grid)[rows].take(columns, axis=1)
    return pruned, patch_edges(rows, columns)


def dim_pruned(canvas: Image.Image, frame: Frame, result: FrameResult) -> None:
    """Darken the patches that the last selection point pruned, with slightly darker lines between them."""
    dim(canvas, *pruned_pixels(frame, result))


def paint_mask(canvas: Image.Image, instances: Instances, row: int) -> None:
    """Fill one instance's mask with its colour, translucent, with an opaque outline; and draw its box."""
    left, top, right, bottom = _box(instances, row)
    if right <= left or bottom <= top:
        return
    mask = instances.masks[row, top:bottom, left:right]
    line = line_width(canvas)
    padded = np.pad(mask, line)
    height, width = mask.shape
    inner = mask.copy()
    for dy, dx in ((0, line), (2 * line, line), (line, 0), (line, 2 * line)):
        inner &= padded[dy : dy + height, dx : dx + width]
    opacity = np.where(inner, np.uint8(_MASK), mask * np.uint8(_OUTLINE))
    colour = identity_colour(int(instances.identities[row]))
    canvas.paste(colour, (left, top), Image.fromarray(opacity))
    ImageDraw.Draw(canvas).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=max(1, line // 2))


def draw_label(
    canvas: Image.Image, instances: Instances, row: int, class_names: Sequence[str], *, below: int = 0
) -> None:
    """Write `#identity class score` on the instance's colour: above its box, or inside where there is no room.

    The label stays below the first `below` rows of the picture.
    """
    left, top, right, bottom = _box(instances, row)
    if right <= left or bottom <= top:
        return
    name = class_names[int(instances.labels[row])]
    text = f"#{int(instances.identities[row])} {name} {float(instances.scores[row]):.2f}"
    font, pad = text_font(canvas), font_size(canvas) // 4
    width, height = text_size(font, text, pad)
    x = max(0, min(left, canvas.width - width))
    y = top - height if top - height >= below else min(max(top, below), max(0, canvas.height - height))
    colour = identity_colour(int(instances.identities[row]))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    pen.text((x + pad, y + height / 2), text, font=font, fill=readable_on(colour), anchor="lm")


def draw_keep_ratios(canvas: Image.Image, keep_ratios: Mapping[str, float]) -> int:
    """A strip at the top with the share of tokens that each selection point kept; returns its height in pixels."""
    return draw_header(canvas, keep_ratio_lines(canvas, "tokens kept", keep_ratios))


def _box(instances: Instances, row: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = instances.boxes[row].tolist()
    height, width = instances.masks.shape[1:]
    return max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))
