"""What marks one object on a picture: mask, box and label, in the colour of its identity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vpp_deploy.media.drawing import Canvas, Colour, fill, line_width, tint
from vpp_deploy.media.lettering import font_size, shorten, text_on_colour
from vpp_deploy.tasks.segmentation.results import Instances

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""


def is_visible(instances: Instances, row: int) -> bool:
    """Whether an instance has a box in the picture."""
    left, top, right, bottom = _box(instances, row)
    return left < right and top < bottom


def paint_mask(canvas: Canvas, instances: Instances, row: int, colour: Colour) -> None:
    """Fill one instance's mask with a colour, translucent, with an opaque outline."""
    left, top, right, bottom = _box(instances, row)
    mask, area = instances.masks[row, top:bottom, left:right], canvas[top:bottom, left:right]
    line = line_width((canvas.shape[0], canvas.shape[1]))
    inner = mask.copy()
    for inside, covered in ((inner, mask), (inner.T, mask.T)):  # along both axes, from both sides
        inside[:line] = inside[-line:] = False
        inside[line:] &= covered[:-line]
        inside[:-line] &= covered[line:]
    tint(area, colour, inner)
    fill(area, colour, mask ^ inner)


def paint_box(canvas: Canvas, instances: Instances, row: int, colour: Colour) -> None:
    """Draw one instance's box in a colour."""
    left, top, right, bottom = _box(instances, row)
    area, line = canvas[top:bottom, left:right], line_width((canvas.shape[0], canvas.shape[1]))
    area[:line] = area[-line:] = area[:, :line] = area[:, -line:] = colour


def draw_label(
    canvas: Canvas,
    instances: Instances,
    row: int,
    colour: Colour,
    class_names: Sequence[str],
    taken: Sequence[Box] = (),
) -> Box:
    """Write `#identity class score` on a colour: above its box, or where there is room.

    Args:
        canvas: is drawn on.
        instances: of the frame.
        row: of the instance.
        colour: of the instance.
        class_names: a name for each label.
        taken: boxes of labels that are there already.

    Returns:
        The label's own box.
    """
    box_left, box_top, box_right, box_bottom = _box(instances, row)
    size = font_size((canvas.shape[0], canvas.shape[1]))
    name = shorten(class_names[int(instances.labels[row])], size, canvas.shape[1] / 2)
    text = f"#{int(instances.identities[row])} {name} {float(instances.scores[row]):.2f}"
    label = text_on_colour(text, colour, size)
    height, width = label.shape[:2]
    left = max(0, min((box_left + box_right - width) // 2, canvas.shape[1] - width))
    lowest = max(0, len(canvas) - height)
    places = [
        (left, top, left + width, top + height)
        for top in (box_top - height, box_bottom, box_top, box_bottom - height, (box_top + box_bottom - height) // 2)
        if 0 <= top <= lowest
    ] or [(left, min(max(box_top, 0), lowest), left + width, height)]
    place = next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])
    area = canvas[place[1] : place[1] + height, left : left + width]
    area[...] = label[: area.shape[0], : area.shape[1]]
    return place


def _overlap(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _box(instances: Instances, row: int) -> Box:
    left, top, right, bottom = instances.boxes[row].tolist()
    height, width = instances.masks.shape[1:]
    return max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))
