"""Draw what a classifier saw onto the picture: labels, patch significance, and which patches were pruned."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.drawing import Canvas, Mask, darken, mute_patches, outline_patches, patch_rows, tint
from vpp_deploy.media.lettering import PAPER
from vpp_deploy.media.palette import heat
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.resize import visible_region
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.strip import draw_strip, strip_size
from vpp_deploy.tasks.overlay_style import OverlayStyle


def draw_classification(
    frame: Frame,
    result: ClassificationResult,
    manifest: ClassificationManifest,
    style: OverlayStyle = USUAL_STYLE,
) -> npt.NDArray[np.uint8]:
    """The whole overlay: the source picture, and a strip beside it with labels and a legend.

    The significance map of the finest pruning point (of several, the last) is a translucent heat map, from dark blue
    to yellow between its own least and greatest value; the patches pruned there are grey, those kept have an outline.
    What lies outside the model's view is dark.

    Args:
        frame: the image that was classified, or a frame of the clip; of a clip, the layer at this frame is drawn.
        result: what came out.
        manifest: of the classifier's bundle.
        style: what is drawn, and whether there is a strip.

    Returns:
        `[H, W, 3]` uint8 RGB of `overlay_size`. The frame itself is not changed.
    """
    (height, width), whole = frame.original_size, overlay_size(frame.original_size, style)
    canvas = np.empty((*whole, 3), np.uint8)
    canvas[height:, :width] = PAPER
    picture = canvas[:height, :width]
    picture[...] = frame.original
    point = _finest_point(result)
    if point is not None and style.parts & {"heat", "patches"}:
        _draw_patches(picture, *_layer(frame, result, point), manifest, style)
    if style.header:
        draw_strip(canvas[:, width:], frame.original_size, result, manifest, style, point)
    return canvas


def overlay_size(size: Size, style: OverlayStyle) -> Size:
    """Height and width in pixels of the overlay of a picture of a size."""
    if not style.header:
        return size
    height, width = strip_size(size)
    return max(size[0], height), size[1] + width


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


def _finest_point(result: ClassificationResult) -> str | None:
    """The point with most patches; of several, the last one, which shows what still stays in the end."""
    return max(reversed(list(result.kept)), key=lambda name: result.significance[name].size, default=None)


def _layer(frame: Frame, result: ClassificationResult, point: str) -> tuple[npt.NDArray[np.float32], Mask]:
    """Of a point at the frame's time, `[rows, columns]`: significance in [0, 1]; and what is pruned."""
    significance = _unit_range(result.significance[point])  # of a clip, one scale for all layers
    pruned = np.ones(significance.shape, np.bool_)
    pruned.flat[result.kept[point]] = False
    if significance.ndim == 2:
        return significance, pruned
    layer = layer_of(frame.index, result.indices, len(significance))
    return significance[layer], pruned[layer]


def _draw_patches(
    canvas: Canvas,
    significance: npt.NDArray[np.float32],
    pruned: Mask,
    manifest: ClassificationManifest,
    style: OverlayStyle,
) -> None:
    height, width = canvas.shape[:2]
    region = visible_region((height, width), manifest.frame_size, manifest.preprocessing)
    rows = patches_of_pixels(height, region.top, region.bottom, pruned.shape[0])
    columns = patches_of_pixels(width, region.left, region.right, pruned.shape[1])
    top, bottom = np.searchsorted(rows, (0, pruned.shape[0]))
    left, right = np.searchsorted(columns, (0, pruned.shape[1]))
    middle = canvas[top:bottom]
    for hidden in (canvas[:top], canvas[bottom:], middle[:, :left], middle[:, right:]):
        darken(hidden)
    seen, rows, columns = middle[:, left:right], rows[top:bottom], columns[left:right]
    if not seen.size:
        return
    if "patches" in style.parts:
        mute_patches(seen, pruned, rows, columns)
    if "heat" in style.parts:
        colours = heat(significance)
        for row, band in patch_rows(rows):
            tint(seen[band], colours[row, columns])
    if "patches" in style.parts:
        outline_patches(seen, ~pruned, rows, columns)


def _unit_range(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values moved and scaled to [0, 1]; 0 where all are the same."""
    span = np.ptp(values)
    scaled: npt.NDArray[np.float32] = (values - values.min()) / np.maximum(span, np.finfo(np.float32).tiny)
    return scaled
