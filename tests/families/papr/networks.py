"""The small networks of the reference data, built with the libraries."""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models.byobnet import ByobNet, ByoModelCfg, _mobileone_bcfg
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vpp_deploy.families.papr.videomae import video_mae as papr_video_mae


def vit(model: dict[str, Any]) -> VisionTransformer:
    """A timm ViT as a golden configuration describes it."""
    pool = model.get("pool", "token 0")
    class_token = model.get("class_token", True)
    return VisionTransformer(
        img_size=model["img_size"],
        patch_size=model["patch_size"],
        embed_dim=model["embed_dim"],
        depth=model["depth"],
        num_heads=model["num_heads"],
        mlp_ratio=model.get("mlp_ratio", 4),
        num_classes=model["num_classes"],
        qkv_bias=model["qkv_bias"],
        init_values=1e-6 if model.get("layer_scale") else None,
        class_token=class_token,
        global_pool="token" if "token 0" in pool else "avg",
        fc_norm="fc_norm" in pool,
        norm_layer=partial(nn.LayerNorm, eps=model.get("layer_norm_eps", 1e-6)),
    ).eval()


def convnext(model: dict[str, Any]) -> ConvNeXt:
    """A timm ConvNeXt as a golden configuration describes it."""
    return ConvNeXt(
        depths=tuple(model["depths"]),
        dims=tuple(model["dims"]),
        num_classes=model["num_classes"],
        norm_eps=model["layer_norm_eps"],
    ).eval()


def swin(model: dict[str, Any]) -> SwinTransformer:
    """A timm Swin transformer as a golden configuration describes it."""
    return SwinTransformer(
        img_size=model["img_size"],
        depths=tuple(model["depths"]),
        num_heads=tuple(model["num_heads"]),
        embed_dim=model["embed_dim"],
        window_size=model["window_size"],
        mlp_ratio=model["mlp_ratio"],
        num_classes=model["num_classes"],
        norm_layer=partial(nn.LayerNorm, eps=model.get("layer_norm_eps", 1e-5)),
    ).eval()


def video_mae(model: dict[str, Any]) -> VideoMAEForVideoClassification:
    """A transformers VideoMAE as a golden configuration describes it."""
    config = VideoMAEConfig(
        image_size=model["img_size"],
        patch_size=model["patch_size"],
        num_frames=model["num_frames"],
        tubelet_size=model["tubelet_size"],
        hidden_size=model["embed_dims"],
        num_hidden_layers=model["depth"],
        num_attention_heads=model["num_heads"],
        intermediate_size=model["embed_dims"] * model["mlp_ratio"],
    )
    config.num_labels = model["num_classes"]
    return papr_video_mae(config)


def mobileone(model: dict[str, Any], classes: int) -> ByobNet:
    """A timm MobileOne with branches as a golden configuration describes it."""
    depths, widths = tuple(model["num_blocks_per_stage"]), tuple(model["width_multipliers"])
    squeeze = (0, 0, depths[2] // 2, depths[3]) if model["use_se"] else ()
    blocks = _mobileone_bcfg(d=depths, wf=widths, se_blocks=squeeze, num_conv_branches=model["num_conv_branches"])
    layout = ByoModelCfg(blocks=blocks, stem_type="one", stem_chs=int(min(64, 64 * widths[0])))
    return ByobNet(layout, num_classes=classes)
