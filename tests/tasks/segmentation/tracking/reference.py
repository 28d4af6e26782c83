"""Slow and obvious versions of what the package does fast."""

import numpy as np

from vpp_deploy.tasks.segmentation.tracking.mask_resize import AxisResize

Size = tuple[int, int]


def two_step_logits(logits: np.ndarray, padded: Size, content: Size, original: Size) -> np.ndarray:
    """Mask logits `[M, h, w]` resized to the padded size, cropped to the content, resized to the original size."""
    cropped = bilinear(logits.astype(np.float64), padded)[:, : content[0], : content[1]]
    return bilinear(cropped, original)


def bilinear(images: np.ndarray, size: Size) -> np.ndarray:
    """Half-pixel centres, edges repeated, one axis after the other."""
    for axis, outputs in zip((1, 2), size, strict=True):
        inputs = images.shape[axis]
        position = np.clip((np.arange(outputs) + 0.5) * inputs / outputs - 0.5, 0, inputs - 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, inputs - 1)
        fraction = np.expand_dims(position - lower, 2 - axis)
        images = np.take(images, lower, axis) * (1 - fraction) + np.take(images, upper, axis) * fraction
    return images


def resized_whole(logits: np.ndarray, rows: AxisResize, columns: AxisResize) -> tuple[np.ndarray, float]:
    """The mask of logits `[h, w]` and its mean probability, each band of rows in one product.

    Bands and sums are those of `resize_mask`, to the last bit.
    """
    positive = logits > 0
    ys, xs = (axis.reached(np.flatnonzero(positive.any(1 - n))) for n, axis in enumerate((rows, columns)))
    mask = np.zeros((len(rows.weights), len(columns.weights)), bool)
    used = columns.support(xs)
    widened = logits[:, used] @ columns.weights[xs, used].T
    probability = 0.0
    for start in range(ys.start, ys.stop, 48):
        band = slice(start, min(start + 48, ys.stop))
        used = rows.support(band)
        resized = rows.weights[band, used] @ widened[used]
        mask[band, xs] = resized > 0
        sigmoid = np.reciprocal(np.exp(-np.maximum(resized, 0)) + np.float32(1))
        probability += float(np.dot(sigmoid.ravel(), mask[band, xs].ravel().astype(np.float32)))
    return mask, probability / (np.count_nonzero(mask) + 1e-6)


def assert_masks_follow(masks: np.ndarray, expected: np.ndarray, logits: np.ndarray) -> None:
    """Masks are equal, except that a pixel whose logit is within 1e-4 of zero may fall to either side."""
    differing = masks != expected
    assert (np.abs(logits[differing]) < 1e-4).all(), f"{np.count_nonzero(differing)} mask pixels differ"
