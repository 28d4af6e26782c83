"""The overlay drawn by Pillow over the whole picture: slow and plain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vpp_deploy.frames import Frame
from vpp_deploy.media.drawing import (
    font_size,
    header_pad,
    header_step,
    keep_ratio_lines,
    line_width,
    readable_on,
    text_font,
    text_size,
)
from vpp_deploy.media.letterbox import token_index
from vpp_deploy.tasks.segmentation.overlay import identity_colour
from vpp_deploy.tasks.segmentation.results import FrameResult, Instances


def draw_with_pillow(frame: Frame, result: FrameResult, class_names: Sequence[str]) -> np.ndarray:
    """What `draw` draws."""
    canvas = Image.fromarray(frame.original)
    header = 0
    if result.kept:
        dim(canvas, frame, result)
    order = np.argsort(result.instances.scores, kind="stable").tolist()
    for row in order:
        paint_mask(canvas, frame.original, result.instances, row)
    if result.kept:
        header = draw_header(canvas, frame.original, result)
    for row in order:
        draw_label(canvas, frame.original, result.instances, row, class_names, header)
    return np.array(canvas)


def dim(canvas: Image.Image, frame: Frame, result: FrameResult) -> None:
    kept = np.zeros(result.grid[0] * result.grid[1], bool)
    kept[list(result.kept.values())[-1]] = True
    lengths = zip(frame.original_size, frame.content_size, frame.image.shape[:2], result.grid, strict=True)
    rows, columns = (token_index(*axis) for axis in lengths)
    pruned = ~kept.reshape(result.grid)[rows][:, columns]
    starts = [
        (np.diff(index, prepend=index[0]) > 0) & (len(index) >= 6 * (1 + int(index[-1]))) for index in (rows, columns)
    ]
    edges = starts[0][:, None] | starts[1]
    canvas.paste((0, 0, 0), mask=Image.fromarray(pruned * np.where(edges, np.uint8(190), np.uint8(150))))


def paint_mask(canvas: Image.Image, original: np.ndarray, instances: Instances, row: int) -> None:
    left, top, right, bottom = (int(edge) for edge in instances.boxes[row])
    if right <= left:
        return
    mask, line = instances.masks[row, top:bottom, left:right], line_width(original)
    padded, inner = np.pad(mask, line), mask.copy()
    for dy, dx in ((0, line), (2 * line, line), (line, 0), (line, 2 * line)):
        inner &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    colour = identity_colour(int(instances.identities[row]))
    canvas.paste(colour, (left, top), Image.fromarray(np.where(inner, np.uint8(96), mask * np.uint8(255))))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=max(1, line // 2))


def draw_header(canvas: Image.Image, original: np.ndarray, result: FrameResult) -> int:
    pad, step = header_pad(original), header_step(original)
    lines = keep_ratio_lines(original, "tokens kept", result.keep_ratios)
    size = canvas.width, min(canvas.height, len(lines) * step + pad)
    canvas.paste((0, 0, 0), (0, 0, *size), Image.new("L", size, 150))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        place = pad, pad / 2 + (number + 0.5) * step
        pen.text(place, line, font=text_font(original), fill=(255, 255, 255), anchor="lm")
    return size[1]


def draw_label(
    canvas: Image.Image, original: np.ndarray, instances: Instances, row: int, names: Sequence[str], below: int
) -> None:
    left, top, right, _ = (int(edge) for edge in instances.boxes[row])
    if right <= left:
        return
    identity = int(instances.identities[row])
    text = f"#{identity} {names[int(instances.labels[row])]} {float(instances.scores[row]):.2f}"
    font, pad, colour = text_font(original), font_size(original) // 4, identity_colour(identity)
    width, height = text_size(font, text, pad)
    x = max(0, min(left, canvas.width - width))
    y = top - height if top - height >= below else min(max(top, below), max(0, canvas.height - height))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    pen.text((x + pad, y + height / 2), text, font=font, fill=readable_on(colour), anchor="lm")
