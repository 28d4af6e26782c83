"""What models trained on ImageNet are told: how pictures become their input, and what their classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from timm.data.imagenet_info import ImageNetInfo

from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing
from vpp_deploy.errors import ConfigError

MEAN: Final = (0.485, 0.456, 0.406)
"""Per channel, of RGB in [0, 1]."""
STD: Final = (0.229, 0.224, 0.225)
CROP_RATIO: Final = 0.875
"""Evaluation resizes to 256 and takes the middle 224."""
_SUBSET: Final = "imagenet-1k"


def image_net_preprocessing(crop_ratio: float = CROP_RATIO) -> ClassifierPreprocessing:
    """Cover the input divided by the crop ratio, bicubic, take the middle, normalise with ImageNet's statistics."""
    return ClassifierPreprocessing(crop_ratio=crop_ratio, mean=in_pixels(MEAN), std=in_pixels(STD))


def in_pixels(values: Sequence[float]) -> tuple[float, float, float]:
    """Statistics of RGB in [0, 1] as those of RGB in 0..255."""
    red, green, blue = (round(255 * value, 6) for value in values)
    return red, green, blue


def numbered_classes(count: int) -> tuple[str, tuple[str, ...]]:
    """Label set and names of classes that nobody knows the names of."""
    return "custom", tuple(f"class {label}" for label in range(count))


def classes_for(count: int, labels: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """Label set and names of a model's classes: those that were given, ImageNet's if there are 1000, else numbers.

    Args:
        count: classes of the model.
        labels: names that were given; None for none.

    Raises:
        ConfigError: another number of labels than of classes.
    """
    if labels is not None:
        if len(labels) != count:
            raise ConfigError(f"{len(labels)} labels do not fit the model, which has {count} classes")
        return "custom", tuple(labels)
    names = ImageNetInfo(_SUBSET)
    if count != names.num_classes():  # type: ignore[no-untyped-call]
        return numbered_classes(count)
    return _SUBSET, tuple(names.index_to_description(label) for label in range(count))
