"""Draw what a classifier saw onto the picture: labels, patch significance, and which patches were pruned."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.frames import Frame
from vpp_deploy.media.drawing import (
    Canvas,
    Mask,
    blend,
    dim,
    draw_header,
    header_pad,
    header_step,
    keep_ratio_lines,
    lines_of,
    patch_rows,
    shorten,
    text_font,
)
from vpp_deploy.tasks.classification.resize import visible_region
from vpp_deploy.tasks.classification.results import ClassificationResult

_HEAT: Final = 102
"""Opacity of the heat map, 0..255."""
_VEIL: Final = 150
"""Opacity of the grey over what the model does not see, 0..255."""
_GREY: Final = 96
_SCALE: Final = ((20, 20, 120), (20, 130, 200), (60, 190, 90), (250, 220, 50), (230, 40, 20))
"""Colours from the least to the most significant patch."""


def draw_classification(
    frame: Frame, result: ClassificationResult, manifest: ClassificationManifest
) -> npt.NDArray[np.uint8]:
    """The whole overlay on the source picture.

    The significance map of the finest pruning point (of several, the last) is a translucent heat map, from blue to red
    between its own least and greatest value; the patches pruned there are dimmed. What lies outside the model's view is
    greyed.

    Args:
        frame: the image that was classified, or a frame of the clip; of a clip, the layer at this frame is drawn.
        result: what came out.
        manifest: of the classifier's bundle.

    Returns:
        `[H0, W0, 3]` uint8 RGB at the source's size. The frame itself is not changed.
    """
    canvas = frame.original.copy()
    if result.kept:
        _draw_patches(canvas, *_finest_layer(frame, result), manifest)
    draw_header(canvas, _header_lines(canvas, result, manifest))
    return canvas


def patches_of_pixels(length: int, begin: float, end: float, patches: int) -> npt.NDArray[np.intp]:
    """For each source pixel along one axis: the patch that holds its centre, where the model sees it.

    Args:
        length: of the source picture in pixels.
        begin: where the visible region begins, in pixels.
        end: where it ends.
        patches: along this axis.

    Returns:
        `[length]`, ascending: -1 before the visible region, `patches` behind it.
    """
    position: npt.NDArray[np.float64] = np.floor((np.arange(length) + 0.5 - begin) * (patches / (end - begin)))
    return position.clip(-1, patches).astype(np.intp)


def layer_of(index: int, indices: tuple[int, ...], layers: int) -> int:
    """The layer in time that a frame belongs to: that of the latest frame of the clip up to it.

    Args:
        index: of the frame.
        indices: of the frames of the clip (`ClassificationResult.indices`); the first is not after `index`.
        layers: of the clip.
    """
    latest = indices[bisect_right(indices, index) - 1]
    return indices.index(latest) * layers // len(indices)


def _finest_layer(frame: Frame, result: ClassificationResult) -> tuple[npt.NDArray[np.float32], Mask]:
    """Of the point with most patches at the frame's time, `[rows, columns]`: significance in [0, 1]; what is pruned."""
    # Where several points share the finest grid, the last one shows what still stays in the end.
    point = max(reversed(list(result.kept)), key=lambda name: result.significance[name].size)
    significance = _unit_range(result.significance[point])  # of a clip, one scale for all layers
    pruned = np.ones(significance.shape, np.bool_)
    pruned.flat[result.kept[point]] = False
    if significance.ndim == 2:
        return significance, pruned
    layer = layer_of(frame.index, result.indices, len(significance))
    return significance[layer], pruned[layer]


def _draw_patches(
    canvas: Canvas, significance: npt.NDArray[np.float32], pruned: Mask, manifest: ClassificationManifest
) -> None:
    height, width = canvas.shape[:2]
    region = visible_region((height, width), manifest.frame_size, manifest.preprocessing)
    rows = patches_of_pixels(height, region.top, region.bottom, pruned.shape[0])
    columns = patches_of_pixels(width, region.left, region.right, pruned.shape[1])
    top, bottom = np.searchsorted(rows, (0, pruned.shape[0]))
    left, right = np.searchsorted(columns, (0, pruned.shape[1]))
    middle = canvas[top:bottom]
    for hidden in (canvas[:top], canvas[bottom:], middle[:, :left], middle[:, right:]):
        blend(lines_of(hidden), _GREY, _VEIL)
    seen, rows, columns = middle[:, left:right], rows[top:bottom], columns[left:right]
    if not seen.size:
        return
    heat = _SCALE_TABLE[np.round(255 * significance).astype(np.intp)].astype(np.uint16)
    for row, band in patch_rows(rows):
        blend(lines_of(seen[band]), heat[row, columns].ravel(), _HEAT)
    dim(seen, pruned, rows, columns)


def _header_lines(canvas: Canvas, result: ClassificationResult, manifest: ClassificationManifest) -> list[str]:
    """The labels, as many as half the picture has room for but at least one, and the keep ratios."""
    font, width = text_font(canvas), canvas.shape[1] - 2 * header_pad(canvas)
    room = max(1, len(canvas) // 2 // header_step(canvas) - bool(result.kept))
    lines = [
        shorten(f"{score:.1%}  {manifest.class_names[label]}", font, width)
        for label, score in zip(result.labels[:room].tolist(), result.scores.tolist(), strict=False)
    ]
    return lines + (keep_ratio_lines(canvas, "patches kept", result.keep_ratios) if result.kept else [])


def _unit_range(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values moved and scaled to [0, 1]; 0 where all are the same."""
    span = np.ptp(values)
    scaled: npt.NDArray[np.float32] = (values - values.min()) / np.maximum(span, np.finfo(np.float32).tiny)
    return scaled


def _scale_table() -> npt.NDArray[np.uint8]:
    places = np.linspace(0, 255, len(_SCALE))
    channels = [np.interp(np.arange(256), places, channel) for channel in zip(*_SCALE, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


_SCALE_TABLE: Final = _scale_table()
