"""Small models with lively random weights, for tests without golden data."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from vpp_deploy.exporters.randomise import randomise_

Model = TypeVar("Model", bound=torch.nn.Module)


def lively(model: Model, seed: int = 0) -> Model:
    return randomise_(model, seed).eval()


def small_vit(**changes: Any) -> VisionTransformer:
    arguments = {"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 5}
    return lively(VisionTransformer(**{**arguments, **changes}))


def small_convnext(**changes: Any) -> ConvNeXt:
    arguments = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "num_classes": 5}
    return lively(ConvNeXt(**{**arguments, **changes}))


def small_swin(**changes: Any) -> SwinTransformer:
    arguments = {
        "img_size": 64, "embed_dim": 8, "depths": (2, 1, 1, 1), "num_heads": (1, 2, 2, 2), "window_size": 4,
        "num_classes": 5,
    }  # fmt: skip
    return lively(SwinTransformer(**{**arguments, **changes}))


def features(batch: int = 2, size: tuple[int, ...] = (3, 4), seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 8, *size, generator=torch.Generator().manual_seed(seed))
