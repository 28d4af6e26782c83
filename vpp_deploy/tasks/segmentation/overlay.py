"""Draw a frame's result onto the frame: masks, boxes, labels, trails and pruned patches; and a bar with a legend."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from math import dist
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.drawing import Canvas, mute_patches, outline_patches, paint_trail
from vpp_deploy.media.letterbox import token_index
from vpp_deploy.media.lettering import Item, bar, bar_height, font_size
from vpp_deploy.media.palette import IdentityColours
from vpp_deploy.tasks.overlay_style import OverlayStyle
from vpp_deploy.tasks.segmentation.marks import Box, draw_label, is_visible, paint_box, paint_mask
from vpp_deploy.tasks.segmentation.options import SHOWN, USUAL_STYLE
from vpp_deploy.tasks.segmentation.results import FrameResult, Instances

TRAIL: Final = 32
"""Frames that the trail of a track reaches back."""
_LONGEST_STEP: Final = 0.2
"""Share of the picture's longer side beyond which a track did not move, but was found again elsewhere."""
_KEPT_SWATCH, _PRUNED_SWATCH = (190, 170, 140), (96, 96, 96)


class Overlay:
    """Draws the frames of one video, in order.

    Attributes:
        size: height and width in pixels of what it draws: those of the frames, and below them a bar.

    Args:
        size: of the frames.
        class_names: a name for each label (`Manifest.class_names`).
        points: how many selection points a frame has at most; 0 of a dense model.
        style: what is drawn, and whether there is a bar.
    """

    def __init__(
        self, size: Size, class_names: Sequence[str], *, points: int, style: OverlayStyle = USUAL_STYLE
    ) -> None:
        self._picture, self._class_names, self._parts = size, class_names, style.parts
        self._trails: dict[int, deque[tuple[float, float]]] = {}
        self._colours = IdentityColours()
        self._bar = 0
        if style.header:
            widest = _legend([1.0] * points, 100, patches="patches" in style.parts, cut=True)
            self._bar = bar_height(widest, font_size(size), size[1])
        self.size: Size = size[0] + self._bar, size[1]

    @classmethod
    def of(cls, manifest: SegmentationManifest, size: Size, style: OverlayStyle = USUAL_STYLE) -> Overlay:
        """The overlay of a bundle's results, for frames of a size."""
        return cls(size, manifest.class_names, points=len(manifest.pruning_points), style=style)

    def __call__(self, frame: Frame, result: FrameResult) -> npt.NDArray[np.uint8]:
        """Draw a frame and what came out for it.

        Returns:
            `[*size, 3]` uint8 RGB. The frame itself is not changed.
        """
        canvas = np.empty((*self.size, 3), np.uint8)
        picture = canvas[: self._picture[0]]
        picture[...] = frame.original
        if "tracks" in self._parts:
            self._follow(result.instances)
        self._draw_parts(picture, frame, result)
        if self._bar:
            ratios = list(result.keep_ratios.values())
            shown = _legend(ratios, len(result), patches="patches" in self._parts, cut=result.cut)
            canvas[self._picture[0] :] = bar(tuple(shown), font_size(self._picture), (self._bar, self._picture[1]))
        return canvas

    def _draw_parts(self, canvas: Canvas, frame: Frame, result: FrameResult) -> None:
        instances = result.instances
        if result.kept and "patches" in self._parts:
            show_patches(canvas, frame, result)
        colours = self._colours.of(instances.identities.tolist())
        weakest_first = [int(row) for row in np.argsort(instances.scores, kind="stable") if is_visible(instances, row)]
        for row in weakest_first:
            if "masks" in self._parts:
                paint_mask(canvas, instances, row, colours[row])
            if "boxes" in self._parts:
                paint_box(canvas, instances, row, colours[row])
        for identity, colour in zip(instances.identities.tolist(), colours, strict=True):
            if trail := self._trails.get(identity):
                paint_trail(canvas, trail, colour)
        labels: list[Box] = []
        for row in reversed(weakest_first) if "labels" in self._parts else ():
            labels.append(draw_label(canvas, instances, row, colours[row], self._class_names, labels))

    def _follow(self, instances: Instances) -> None:
        seen = instances.identities.tolist()
        self._trails = {identity: trail for identity, trail in self._trails.items() if identity in seen}
        for identity, (x1, y1, x2, y2) in zip(seen, instances.boxes.tolist(), strict=True):
            if x2 > x1 and y2 > y1:
                trail, place = self._trails.setdefault(identity, deque(maxlen=TRAIL)), ((x1 + x2) / 2, (y1 + y2) / 2)
                if trail and dist(trail[-1], place) > _LONGEST_STEP * max(self._picture):
                    trail.clear()
                trail.append(place)


def draw(
    frame: Frame, result: FrameResult, class_names: Sequence[str], *, parts: Collection[str] = SHOWN
) -> npt.NDArray[np.uint8]:
    """The overlay on the source picture, without a bar, and without trails, which one frame has none of.

    Args:
        frame: the frame that went in.
        result: what came out for it.
        class_names: a name for each label (`Manifest.class_names`).
        parts: some of masks, boxes, labels, patches.

    Returns:
        `[H0, W0, 3]` uint8 RGB at the source's size. The frame itself is not changed.
    """
    style = OverlayStyle(frozenset(parts) - {"tracks"}, header=False)
    return Overlay(frame.original_size, class_names, points=0, style=style)(frame, result)


def show_patches(canvas: Canvas, frame: Frame, result: FrameResult) -> None:
    """Mute the patches that the last selection point pruned, and outline those that it kept."""
    kept = np.zeros(result.grid[0] * result.grid[1], np.bool_)
    kept[list(result.kept.values())[-1]] = True
    kept = kept.reshape(result.grid)
    rows = token_index(frame.original_size[0], frame.content_size[0], frame.image.shape[0], result.grid[0])
    columns = token_index(frame.original_size[1], frame.content_size[1], frame.image.shape[1], result.grid[1])
    mute_patches(canvas, ~kept, rows, columns)
    outline_patches(canvas, kept, rows, columns)


def _legend(keep_ratios: Sequence[float], objects: int, *, patches: bool, cut: bool) -> list[Item]:
    items = [Item(f"{objects} object" if objects == 1 else f"{objects} objects")]
    if keep_ratios:
        stages = ", ".join(f"{ratio:.0%}"[:-1] for ratio in keep_ratios)
        kept = Item(f"patches kept {keep_ratios[-1]:.0%}"[:-1] + " %", _KEPT_SWATCH if patches else None, framed=True)
        items += [kept, *([Item("pruned", _PRUNED_SWATCH)] if patches else [])]
        if len(keep_ratios) > 1:
            items.append(Item(f"stage by stage {stages} %"))
    return [*items, Item("scene cut")] if cut else items
