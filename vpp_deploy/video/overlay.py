"""Draw a frame's result onto the frame: pruned patches, masks, boxes, labels and keep ratios."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vpp_deploy.frames import Size, VideoFrame
from vpp_deploy.results import FrameResult, Instances
from vpp_deploy.video.letterbox import token_index

Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]

# Opacities, 0..255.
_PRUNED, _PRUNED_EDGE = 150, 190
_MASK, _OUTLINE = 96, 255
_HEADER = 150
_SMALLEST_GRID = 6  # pixels per patch below which lines between patches would hide the picture


def draw(frame: VideoFrame, result: FrameResult, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
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
    header = draw_header(canvas, result.keep_ratios) if result.kept else 0
    for row in weakest_first:
        draw_label(canvas, result.instances, row, class_names, below=header)
    return np.array(canvas)


def identity_colour(identity: int) -> Colour:
    """A vivid colour that stays with an identity; neighbours in number are far apart in hue (golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb((0.07 + identity * 0.6180339887) % 1.0, 0.75, (1.0, 0.85)[identity % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


def pruned_pixels(frame: VideoFrame, result: FrameResult) -> tuple[Mask, Mask]:
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
    return pruned, _patch_starts(rows)[:, None] | _patch_starts(columns)[None, :]


def dim_pruned(canvas: Image.Image, frame: VideoFrame, result: FrameResult) -> None:
    """Darken the patches that the last selection point pruned, with slightly darker lines between them."""
    pruned, edges = pruned_pixels(frame, result)
    opacity = pruned * np.where(edges, np.uint8(_PRUNED_EDGE), np.uint8(_PRUNED))
    canvas.paste((0, 0, 0), mask=Image.fromarray(opacity))


def paint_mask(canvas: Image.Image, instances: Instances, row: int) -> None:
    """Fill one instance's mask with its colour, translucent, with an opaque outline; and draw its box."""
    left, top, right, bottom = _box(instances, row)
    if right <= left or bottom <= top:
        return
    mask = instances.masks[row, top:bottom, left:right]
    line = _line_width(canvas)
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
    font, pad = _font(_font_size(canvas)), _font_size(canvas) // 4
    width, height = _text_size(font, text, pad)
    x = max(0, min(left, canvas.width - width))
    y = top - height if top - height >= below else min(max(top, below), max(0, canvas.height - height))
    colour = identity_colour(int(instances.identities[row]))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    pen.text((x + pad, y + height / 2), text, font=font, fill=_readable_on(colour), anchor="lm")


def draw_header(canvas: Image.Image, keep_ratios: Mapping[str, float]) -> int:
    """A strip at the top with the share of tokens that each selection point kept; returns its height in pixels."""
    font, pad = _font(_font_size(canvas)), _font_size(canvas) // 3
    items = ["tokens kept"] + [f"{name.replace('_', ' ')}: {ratio:.0%}" for name, ratio in keep_ratios.items()]
    lines = _wrap(items, font, canvas.width - 2 * pad)
    step = round(_font_size(canvas) * 1.3)
    height = min(canvas.height, len(lines) * step + pad)
    canvas.paste((0, 0, 0), (0, 0, canvas.width, height), Image.new("L", (canvas.width, height), _HEADER))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((pad, pad / 2 + (number + 0.5) * step), line, font=font, fill=(255, 255, 255), anchor="lm")
    return height


def _patch_starts(index: npt.NDArray[np.intp]) -> Mask:
    starts = np.diff(index, prepend=index[:1]) > 0
    return starts & (len(index) >= _SMALLEST_GRID * (1 + int(index[-1])))


def _box(instances: Instances, row: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = instances.boxes[row].tolist()
    height, width = instances.masks.shape[1:]
    return max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))


def _shorter_side(canvas: Image.Image) -> int:
    return min(canvas.width, canvas.height)


def _line_width(canvas: Image.Image) -> int:
    return max(1, round(_shorter_side(canvas) / 360))


def _font_size(canvas: Image.Image) -> int:
    return min(40, max(11, round(_shorter_side(canvas) / 32)))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text_size(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, pad: int) -> Size:
    _, top, _, bottom = font.getbbox("Ag")
    return round(font.getlength(text)) + 2 * pad, round(bottom - top) + 2 * pad


def _wrap(items: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [items[0]]
    for item in items[1:]:
        longer = f"{lines[-1]}   {item}"
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(item)
    return lines


def _readable_on(colour: Colour) -> Colour:
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luminance > 128 else (255, 255, 255)
