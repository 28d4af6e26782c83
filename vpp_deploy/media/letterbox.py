"""Letterbox: fit a picture into the model's fixed input size without changing its shape."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Size, check_size

_ROWS_AT_ONCE: Final = 32
"""Rows resized together: few enough that they stay in a core's cache."""


def letterbox(image: npt.NDArray[np.uint8], size: Size) -> tuple[npt.NDArray[np.uint8], Size]:
    """Scale a picture to fill `size` as far as its aspect ratio allows, top-left; the rest is zero.

    Bilinear, without antialiasing, half-pixel centres, clamped at the edges, rounded half up: what
    `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` and OpenCV's `INTER_LINEAR` compute. This
    is `Preprocessing.resize = "letterbox"` of the bundle manifest.

    Args:
        image: `[H0, W0, 3]` uint8.
        size: height and width of the result.

    Returns:
        The letterboxed picture `[H, W, 3]` uint8 (`image` itself when nothing is to be done), and the height and width
        of the content inside it.

    Raises:
        UsageError: no such picture, or no such size.
    """
    if not (isinstance(image, np.ndarray) and image.ndim == 3 and image.size and image.dtype == np.uint8):
        what = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
        raise UsageError(f"a picture is [H, W, 3] in uint8, and this is {what}")
    check_size(size)
    if image.shape[:2] == size:
        return image, size
    content = content_size((image.shape[0], image.shape[1]), size)
    canvas = np.zeros((*size, image.shape[2]), np.uint8)
    _resize(image, canvas[: content[0], : content[1]])
    return canvas, content


def content_size(original: Size, size: Size) -> Size:
    """Height and width that a picture of the size `original` takes up inside `size`; each is at least 1."""
    scale = min(size[0] / original[0], size[1] / original[1])
    height, width = (
        min(limit, max(1, int(length * scale + 0.5))) for length, limit in zip(original, size, strict=True)
    )
    return height, width


def token_index(original: int, content: int, padded: int, tokens: int) -> npt.NDArray[np.intp]:
    """For each source pixel along one axis: the token whose patch holds its centre.

    Args:
        original: length of the source picture in pixels.
        content: length that it takes up in the letterboxed one.
        padded: length of the letterboxed picture.
        tokens: patches along this axis.

    Returns:
        `[original]`, ascending, each in [0, tokens).
    """
    patch = padded // tokens
    position = (2 * np.arange(original) + 1) * content // (2 * original * patch)  # exact at the edges of patches
    return np.minimum(position, tokens - 1)


def _resize(image: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
    """Resize a picture `[H0, W0, C]` into `out` `[H, W, C]`, one band of rows after the other.

    Weights of 0 (a picture three times as large has no others) are left out of the sum, which they do not change.
    """
    channels = np.arange(image.shape[2])
    top, bottom, down = _taps(image.shape[0], out.shape[0])
    left, right, across = _taps(image.shape[1], out.shape[1])
    first, second = ((pixels[:, None] * len(channels) + channels).ravel() for pixels in (left, right))
    across = np.repeat(across, len(channels))
    lines = image.reshape(len(image), -1)
    for start in range(0, len(out), _ROWS_AT_ONCE):
        band = slice(start, start + _ROWS_AT_ONCE)
        rows: npt.NDArray[Any] = lines[top[band]]
        if down.any():
            rows = _between(rows, lines[bottom[band]], down[band, None])
        pixels = rows.take(first, axis=1, mode="clip")  # faster than "raise"; all are in range
        if across.any():
            pixels = _between(pixels, rows.take(second, axis=1, mode="clip"), across)
        if pixels.dtype != np.uint8:
            pixels += np.float32(0.5)
        out[band] = pixels.reshape(-1, *out.shape[1:])


def _between(
    first: npt.NDArray[Any], second: npt.NDArray[Any], weight: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """`first + (second - first) * weight` in float32."""
    result, step = first.astype(np.float32, copy=False), second.astype(np.float32, copy=False)
    step -= result
    step *= weight
    result += step
    return result


def _taps(source: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """For each target pixel: the two source pixels around its centre and the weight of the second, in [0, 1)."""
    position = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, source - 1), (position - first).astype(np.float32)
