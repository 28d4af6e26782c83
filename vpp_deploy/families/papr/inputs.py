"""What a base model wants to see and what its classes are called, as far as its library knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing, ClipSpec
from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.imagenet import MEAN, STD, image_net_preprocessing, in_pixels, numbered_classes
from vpp_deploy.families.papr.names import CatalogueEntry

ImageStatistics = tuple[float, float, float]
_RESIZE: Final = {"center": "center-crop", "squash": "squash"}
_INTERPOLATIONS: Final = ("bilinear", "bicubic")
_SAMPLING: Final = 4
"""VideoMAE's clips on Kinetics take one frame of four."""
KINETICS: Final = "kinetics-400"


def preprocessing_of(entry: CatalogueEntry, base: Any) -> ClassifierPreprocessing:
    """How pictures become the model's input, as it was evaluated by those who trained it.

    Raises:
        ExportError: in a way that no runtime of ours does.
    """
    if entry.clips:
        return _preprocessing(MEAN, STD, 1.0, "center", "bilinear")
    if entry.image_net:
        return image_net_preprocessing()
    settings: Mapping[str, Any] = base.pretrained_cfg
    crop, interpolation = settings["crop_mode"], settings["interpolation"]
    if crop not in _RESIZE or interpolation not in _INTERPOLATIONS:
        raise ExportError(
            f"{entry.name} was evaluated with crop mode {crop!r} and {interpolation!r} interpolation; "
            f"supported are {', '.join(_RESIZE)} and {', '.join(_INTERPOLATIONS)}"
        )
    return _preprocessing(settings["mean"], settings["std"], settings["crop_pct"], crop, interpolation)


def frame_size_of(entry: CatalogueEntry, base: Any) -> tuple[int, int]:
    """Height and width in pixels that a model of its own size takes."""
    if entry.clips:
        height, width = base.videomae.embeddings.patch_embeddings.image_size
    elif hasattr(base, "patch_embed"):
        height, width = base.patch_embed.img_size
    else:
        _, height, width = base.pretrained_cfg["input_size"]
    return height, width


def clip_of(entry: CatalogueEntry, base: Any) -> ClipSpec | None:
    """What clips the model takes; None if it takes images."""
    return ClipSpec(frames=base.config.num_frames, sampling=_SAMPLING) if entry.clips else None


def classes_of(entry: CatalogueEntry, base: Any) -> tuple[str, tuple[str, ...]]:
    """The label set and the names of its labels; numbered ones if no library knows better."""
    if entry.clips:
        return _clip_classes(base)
    subset = infer_imagenet_subset(base)
    if subset is None:
        return numbered_classes(base.num_classes)
    names = ImageNetInfo(subset)
    return subset, tuple(names.index_to_description(label) for label in range(base.num_classes))


def check_classes(entry: CatalogueEntry, base: Any) -> None:
    """See that a model of a library tells classes apart, which its published weights alone can say.

    Raises:
        ExportError: it has no class head; or what its head gives is no label set that the library knows: image towers
            of CLIP and its like give an embedding.
    """
    count = class_count(base)
    if count and _has_classes(entry, base):
        return
    advice = "choose weights that were fine-tuned for classes (such names often end in _ft_in1k)"
    if count == 0:
        raise ExportError(
            f"{entry.name} has no class head, only features; export those with --features, {advice}, or give --labels "
            "and a --checkpoint"
        )
    raise ExportError(
        f"{entry.name} gives {count} numbers that are no label set known to timm: an embedding, such as that of "
        f"a CLIP's image tower, has no classes; export it with --features, {advice}, or name its {count} classes with "
        "--labels"
    )


def check_features(entry: CatalogueEntry, base: Any) -> None:
    """See that a model of a library gives an embedding, and not classes.

    Raises:
        ExportError: it tells classes apart.
    """
    if class_count(base) and _has_classes(entry, base):
        raise ExportError(f"{entry.name} tells {class_count(base)} classes apart; leave --features out")


def _has_classes(entry: CatalogueEntry, base: Any) -> bool:
    """Whether what the head gives is a label set, or of a size that somebody chose."""
    chosen = entry.clips or class_count(base) != base.pretrained_cfg["num_classes"]
    return chosen or infer_imagenet_subset(base) is not None


def _clip_classes(base: Any) -> tuple[str, tuple[str, ...]]:
    from torchvision.models.video import R3D_18_Weights

    count: int = base.config.num_labels
    names = tuple(base.config.id2label[label] for label in range(count))
    kinetics = tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])
    if not names[0].startswith("LABEL_"):
        return (KINETICS if count == len(kinetics) else "custom"), names
    return (KINETICS, kinetics) if count == len(kinetics) else numbered_classes(count)


def _preprocessing(
    mean: ImageStatistics, std: ImageStatistics, crop: float, mode: str, interpolation: str
) -> ClassifierPreprocessing:
    return ClassifierPreprocessing(
        resize=_RESIZE[mode],  # type: ignore[arg-type]
        crop_ratio=crop,
        interpolation=interpolation,  # type: ignore[arg-type]
        mean=in_pixels(mean),
        std=in_pixels(std),
    )


def class_count(base: Any) -> int:
    """How many classes a base model tells apart."""
    count: int = base.config.num_labels if hasattr(base, "config") else base.num_classes
    return count
