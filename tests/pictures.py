"""Golden pictures: what a drawing looked like when somebody found it good."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

_BLOCK: Final = 8


def scene(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A colourful, smooth picture `[H, W, 3]` uint8."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    channels = [np.sin(9 * x + 2), np.cos(7 * y + 3 * x), np.sin(11 * y * x + 1)]
    return np.round(127.5 * (1 + 0.8 * np.stack(channels, axis=-1))).astype(np.uint8)


def assert_looks_like(picture: npt.NDArray[np.uint8], golden: Path, folder: Path) -> None:
    """Compare a picture with a golden one; letters may differ as those of two versions of FreeType do.

    Args:
        picture: `[H, W, 3]` uint8.
        golden: a PNG file.
        folder: where the picture is put, so that it can be looked at and, if it is right, become the golden one.
    """
    found = folder / golden.name
    Image.fromarray(picture).save(found, optimize=True)
    with Image.open(golden) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert picture.shape == expected.shape, f"{found} has another size than {golden}"
    difference = np.abs(picture.astype(int) - expected)
    padding = [(0, -length % _BLOCK) for length in picture.shape[:2]]
    height, width = (length + pad for length, (_, pad) in zip(picture.shape[:2], padding, strict=True))
    blocks = np.pad(difference, (*padding, (0, 0))).reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK * 3)
    told = f"{found} does not look like {golden}; if it is right, it takes its place"
    assert difference.mean() < 0.6, told
    assert blocks.mean((1, 3)).max() < 24, told
