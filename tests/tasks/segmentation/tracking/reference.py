"""Slow and obvious versions of what the package does fast."""

import numpy as np

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


def assert_masks_follow(masks: np.ndarray, expected: np.ndarray, logits: np.ndarray) -> None:
    """Masks are equal, except that a pixel whose logit is within 1e-4 of zero may fall to either side."""
    differing = masks != expected
    assert (np.abs(logits[differing]) < 1e-4).all(), f"{np.count_nonzero(differing)} mask pixels differ"
