"""Mask logits to a mask at the source's size, in one product per axis.

The original resizes mask logits twice: to the padded model input, then, after cropping the padding away, to the source
picture. Both are bilinear, so along each axis the whole chain is one fixed matrix with a narrow band of non-zeros.
Its weights are not negative, so a pixel can only be inside a mask if a logit under it is positive: everything else is
skipped without being computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.tasks.segmentation.tracking.boxes import EMPTY_BOX, Box, tight_box

Floats = npt.NDArray[np.float32]

_ROWS_AT_ONCE: Final = 48
"""Output rows computed together: few enough that their logits stay in a core's cache."""
_COLUMNS_AT_ONCE: Final = 128
"""Output columns computed together: few enough that most of the zeros of their weights are left out."""
_LARGEST_PRODUCT: Final = 1 << 18
"""Multiplications up to which OpenBLAS starts no threads: waiting for them takes longer than such a product, and where
the processors are busy with other work many times as long."""


@dataclass(frozen=True, slots=True)
class AxisResize:
    """Bilinear resizing along one axis.

    Attributes:
        weights: `[out, in]` float32, not negative; every row sums to 1.
        first: `[out]` int64, the first input with a non-zero weight; never decreases.
        last: `[out]` int64, the last one, inclusive; never decreases.
    """

    weights: Floats
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    def reached(self, inputs: npt.NDArray[np.int64]) -> slice:
        """The range of outputs that contains every output with a weight on one of the (ascending) `inputs`."""
        if not len(inputs):
            return slice(0, 0)
        start = int(np.searchsorted(self.last, inputs[0], side="left"))
        stop = int(np.searchsorted(self.first, inputs[-1], side="right"))
        return slice(start, max(start, stop))

    def support(self, outputs: slice) -> slice:
        """The inputs that a non-empty range of outputs depends on."""
        return slice(int(self.first[outputs.start]), int(self.last[outputs.stop - 1]) + 1)


@dataclass(frozen=True, slots=True)
class MaskSummary:
    """What the scores and boxes need to know about one mask.

    Attributes:
        mean_probability: Σ(sigmoid·mask) / (Σmask + 1e-6), in [0, 1).
        box: the tight box in pixels.
    """

    mean_probability: float
    box: Box


@lru_cache(maxsize=32)
def axis_resize(logits: int, padded: int, content: int, original: int) -> AxisResize:
    """One axis of the original's post-processing: resize to `padded`, crop to `content`, resize to `original`.

    Args:
        logits: length of the axis in the mask logits.
        padded: length in pixels in the padded model input.
        content: length in pixels of the picture inside it, from the start of the axis.
        original: length in pixels in the source picture.

    Raises:
        ValueError: a length is not positive, or the content is longer than the padded input.
    """
    if min(logits, padded, content, original) < 1 or content > padded:
        raise ValueError(
            f"axis lengths must be positive, with content <= padded: got logits {logits}, padded {padded}, "
            f"content {content}, original {original}"
        )
    weights = _bilinear(content, original) @ _bilinear(logits, padded)[:content]
    used = weights > 0
    return AxisResize(
        weights=weights.astype(np.float32),
        first=used.argmax(axis=1),
        last=logits - 1 - used[:, ::-1].argmax(axis=1),
    )


def resize_mask(logits: Floats, rows: AxisResize, columns: AxisResize, mask: npt.NDArray[np.bool_]) -> MaskSummary:
    """Resize one query's mask logits and write where they are positive.

    Args:
        logits: `[h, w]` float32.
        rows: the vertical axis, h to H0.
        columns: the horizontal axis, w to W0.
        mask: `[H0, W0]` bool, all False; receives the mask.
    """
    positive = logits > 0
    y_range = rows.reached(np.flatnonzero(positive.any(axis=1)))
    x_range = columns.reached(np.flatnonzero(positive.any(axis=0)))
    if y_range.start == y_range.stop or x_range.start == x_range.stop:
        return MaskSummary(0.0, EMPTY_BOX)
    used = rows.support(y_range)
    widened = _widened(logits, used, columns, x_range)
    np.negative(widened[used], out=widened[used])  # as exp will need them; all that follows is exact but for the sign
    negated, inside = np.empty((2, _ROWS_AT_ONCE, widened.shape[1]), np.float32)
    probability = 0.0
    for start in range(y_range.start, y_range.stop, _ROWS_AT_ONCE):
        band = slice(start, min(start + _ROWS_AT_ONCE, y_range.stop))
        y_support, count = rows.support(band), band.stop - band.start
        _multiply(rows.weights[band, y_support], widened[y_support], negated[:count])
        np.less(negated[:count], 0, out=mask[band, x_range])
        np.copyto(inside[:count], mask[band, x_range])
        probability += _probability_inside(negated[:count], inside[:count])
    region = mask[y_range, x_range]
    mean_probability = probability / (np.count_nonzero(region) + 1e-6)
    return MaskSummary(mean_probability, tight_box(region, top=y_range.start, left=x_range.start))


def _widened(logits: Floats, used: slice, columns: AxisResize, x_range: slice) -> Floats:
    """Mask logits `[h, w]` resized along the horizontal axis to `[h, x_range]`; only the rows that are used are set."""
    widened = np.empty((len(logits), x_range.stop - x_range.start), np.float32)
    for start in range(x_range.start, x_range.stop, _COLUMNS_AT_ONCE):
        piece = slice(start, min(start + _COLUMNS_AT_ONCE, x_range.stop))
        support = columns.support(piece)
        out = widened[used, piece.start - x_range.start : piece.stop - x_range.start]
        _multiply(logits[used, support], columns.weights[piece, support].T, out)
    return widened


def _multiply(a: Floats, b: Floats, out: Floats) -> None:
    """Write `a @ b` into `out`, in products that BLAS does not start threads for."""
    step = max(1, _LARGEST_PRODUCT // a.size)
    for start in range(0, b.shape[1], step):
        np.matmul(a, b[:, start : start + step], out=out[:, start : start + step])


def _probability_inside(negated: Floats, inside: Floats) -> float:
    """Σ(sigmoid·mask) of negated logits, where the mask, of zeros and ones, is `negated < 0`. Overwrites `negated`."""
    np.minimum(negated, 0, out=negated)  # keeps exp from overflowing outside the mask, where the result is not used
    np.exp(negated, out=negated)
    negated += 1
    np.reciprocal(negated, out=negated)
    return float(np.dot(negated.ravel(), inside.ravel()))


def _bilinear(inputs: int, outputs: int) -> npt.NDArray[np.float64]:
    """`[outputs, inputs]` weights of bilinear interpolation with half-pixel centres (`align_corners=False`).

    The coordinates are computed in float32, as PyTorch does for float32 tensors, to decide borderline pixels alike.
    """
    scale = np.float32(inputs) / np.float32(outputs)
    position = np.maximum(scale * (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    lower = np.minimum(position.astype(np.int64), inputs - 1)
    upper = np.minimum(lower + 1, inputs - 1)
    fraction = position - lower.astype(np.float32)
    weights = np.zeros((outputs, inputs))
    at = np.arange(outputs)
    weights[at, lower] = np.float32(1) - fraction
    weights[at, upper] += fraction
    return weights
