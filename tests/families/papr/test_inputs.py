"""What pictures become, and what classes are called."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from tests.families.papr.tiny import ENTRIES
from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing, ClipSpec
from vpp_deploy.errors import ExportError
from vpp_deploy.families.papr.catalogue import base_model, lookup
from vpp_deploy.families.papr.inputs import class_count, classes_of, clip_of, frame_size_of, preprocessing_of

HALF = (127.5, 127.5, 127.5)
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def made(name: str, **arguments: Any) -> tuple[Any, Any]:
    with torch.device("meta"):
        return lookup(name), base_model(lookup(name), **arguments)


@pytest.mark.parametrize(
    ("name", "crop", "mean", "std"),
    [
        ("vit_small_patch16_224.augreg_in21k_ft_in1k", 0.9, HALF, HALF),
        ("deit_small_patch16_224.fb_in1k", 0.9, IMAGENET_MEAN, IMAGENET_STD),
        ("convnext_base.fb_in1k", 0.875, IMAGENET_MEAN, IMAGENET_STD),
        ("mae_vit_base_patch16_224", 0.875, IMAGENET_MEAN, IMAGENET_STD),  # timm notes 0.5 for its architecture
    ],
)
def test_pictures(name: str, crop: float, mean: Any, std: Any) -> None:
    assert preprocessing_of(*made(name)) == ClassifierPreprocessing(
        resize="center-crop", crop_ratio=crop, interpolation="bicubic", mean=mean, std=std
    )


def test_pictures_that_are_squashed() -> None:
    spec = preprocessing_of(*made("vit_medium_patch16_gap_384.sw_in12k_ft_in1k"))
    assert (spec.resize, spec.crop_ratio) == ("squash", 0.95)


def test_clips() -> None:
    entry = ENTRIES[-1]
    with torch.device("meta"):
        model = base_model(entry)
    spec = preprocessing_of(entry, model)
    assert (spec.interpolation, spec.crop_ratio, spec.mean) == ("bilinear", 1.0, IMAGENET_MEAN)
    assert clip_of(entry, model) == ClipSpec(frames=4, sampling=4)
    assert frame_size_of(entry, model) == (64, 64)
    assert clip_of(*made("vit_tiny_patch16_224")) is None


@pytest.mark.parametrize(("field", "value"), [("crop_mode", "border"), ("interpolation", "lanczos")])
def test_what_no_runtime_does_is_refused(field: str, value: str) -> None:
    entry, model = made("vit_tiny_patch16_224")
    model.pretrained_cfg = {**model.pretrained_cfg, field: value}
    with pytest.raises(ExportError, match=value):
        preprocessing_of(entry, model)


def test_sizes() -> None:
    assert frame_size_of(*made("vit_tiny_patch16_384")) == (384, 384)
    assert frame_size_of(*made("vit_tiny_patch16_224", size=(64, 96))) == (64, 96)
    assert frame_size_of(*made("convnext_atto")) == timm.get_pretrained_cfg("convnext_atto").input_size[1:]


@pytest.mark.parametrize(
    ("name", "classes", "dataset", "first"),
    [
        ("vit_tiny_patch16_224", None, "imagenet-1k", "tench"),
        ("convnext_base.fb_in22k_ft_in1k", None, "imagenet-1k", "tench"),
        ("mae_vit_base_patch16_224", None, "imagenet-1k", "tench"),
        ("vit_tiny_patch16_224", 12, "custom", "class 0"),
    ],
)
def test_names_of_image_classes(name: str, classes: int | None, dataset: str, first: str) -> None:
    entry, model = made(name, classes=classes)
    label_set, names = classes_of(entry, model)
    assert label_set == dataset
    assert names[0].startswith(first)
    assert len(names) == class_count(model) == (classes or 1000)


def test_names_of_clip_classes() -> None:
    entry = ENTRIES[-1]
    with torch.device("meta"):
        few, kinetics = base_model(entry), base_model(entry, classes=400)
        named = base_model(entry)
    assert classes_of(entry, few) == ("custom", ("class 0", "class 1", "class 2"))
    label_set, names = classes_of(entry, kinetics)
    assert (label_set, names[0], len(names)) == ("kinetics-400", "abseiling", 400)
    named.config.id2label = {0: "wave", 1: "walk", 2: "run"}
    assert classes_of(entry, named) == ("custom", ("wave", "walk", "run"))
