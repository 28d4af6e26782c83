"""Resize pictures as classifiers were evaluated: scale to a little more than the input, take the middle."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing
from vpp_deploy.frames import Size
from vpp_deploy.tasks.classification.crop_resize import FILTERS, resized_part

_FILTERS: Final = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_MOST_PIXELS: Final = 1 << 24
"""Of a resized picture: a larger one (a strip's) is never made as a whole."""


class Region(NamedTuple):
    """A rectangle of a picture: edges in pixels, `bottom` and `right` exclusive, between pixels where not whole."""

    top: float
    left: float
    bottom: float
    right: float


def resize_and_crop(
    image: npt.NDArray[np.uint8], size: Size, preprocessing: ClassifierPreprocessing
) -> tuple[npt.NDArray[np.uint8], Size]:
    """A picture as a classifier takes it, pixel by pixel what timm and torchvision make of it with Pillow.

    Args:
        image: `[H0, W0, 3]` uint8.
        size: height and width of the result.
        preprocessing: of the bundle's manifest.

    Returns:
        `[H, W, 3]` uint8, and its size: all of it is picture.
    """
    (height, width), (top, left) = _geometry((image.shape[0], image.shape[1]), size, preprocessing)
    if height * width > _MOST_PIXELS:
        part = resized_part(image, (height, width), (top, left), size, FILTERS[preprocessing.interpolation])
        return part, size
    resized = Image.fromarray(image).resize((width, height), _FILTERS[preprocessing.interpolation])
    return np.array(resized.crop((left, top, left + size[1], top + size[0]))), size


def visible_region(original_size: Size, size: Size, preprocessing: ClassifierPreprocessing) -> Region:
    """The part of the source picture that a classifier sees.

    Args:
        original_size: height and width of the source.
        size: height and width of the input.
        preprocessing: of the bundle's manifest.
    """
    resized, (top, left) = _geometry(original_size, size, preprocessing)
    down, across = original_size[0] / resized[0], original_size[1] / resized[1]
    return Region(top * down, left * across, (top + size[0]) * down, (left + size[1]) * across)


def _geometry(original: Size, size: Size, preprocessing: ClassifierPreprocessing) -> tuple[Size, tuple[int, int]]:
    """Height and width of the resized picture, and the top left corner of the crop in it.

    All rounding is that of timm's evaluation transforms: for a square input that of torchvision's `Resize`, for others
    that of timm's `ResizeKeepRatio`; halves of pixels go to the even side.
    """
    target = math.floor(size[0] / preprocessing.crop_ratio), math.floor(size[1] / preprocessing.crop_ratio)
    if preprocessing.resize == "squash":
        resized = target
    elif target[0] == target[1]:
        shorter, longer = min(original), int(target[0] * max(original) / min(original))
        resized = target[0] if original[0] == shorter else longer, target[1] if original[1] == shorter else longer
    else:
        ratio = min(original[0] / target[0], original[1] / target[1])
        resized = round(original[0] / ratio), round(original[1] / ratio)
    return resized, (round((resized[0] - size[0]) / 2), round((resized[1] - size[1]) / 2))
