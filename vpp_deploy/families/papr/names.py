"""What can be pruned and with what, by name. Nothing here needs PyTorch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vpp_deploy.errors import ExportError

PREFIX: Final = "papr:"
IMAGE_PROPOSAL: Final = "mobileone_s0"
CLIP_PROPOSAL: Final = "x3d_m"

IMAGE_PROPOSALS: Final = {
    "mobileone_s0": "mobileone_s0.apple_in1k",
    "mobileone_s2": "mobileone_s2.apple_in1k",
    "mobileone_s4": "mobileone_s4.apple_in1k",
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet152": "resnet152.tv_in1k",
}
"""timm's name, with the tag of the pretrained weights, of each proposal for images."""


@dataclass(frozen=True)
class ClipSize:
    """What clips a proposal sees.

    Attributes:
        frames: the clip is resized to this many frames.
        side: and to this height and width, in pixels.
        any_length: a clip that has this height and width already keeps all its frames.
    """

    frames: int
    side: int
    any_length: bool = False


CLIP_PROPOSALS: Final = {
    "x3d_s": ClipSize(8, 160),
    "x3d_m": ClipSize(8, 224, any_length=True),
    "slowonly_r50": ClipSize(8, 224),
    "slowonly_r101": ClipSize(8, 224),
}
PROPOSALS: Final = (*IMAGE_PROPOSALS, *CLIP_PROPOSALS)


def proposal_name(name: str) -> str:
    """A proposal's own name, from that or from timm's name with the tag of its weights.

    Raises:
        ExportError: unknown; names the nearest ones.
    """
    by_tag = {tagged: bare for bare, tagged in IMAGE_PROPOSALS.items()}
    if name in PROPOSALS or name in by_tag:
        return by_tag.get(name, name)
    near = difflib.get_close_matches(name, [*PROPOSALS, *by_tag], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(PROPOSALS)}"
    raise ExportError(f"unknown proposal {name!r}; {hint}")


@dataclass(frozen=True)
class CatalogueEntry:
    """One model.

    Attributes:
        name: without the prefix `papr:`.
        model: timm's name with the tag of its weights; for clips, the name of the published transformers checkpoint.
        arguments: that the library's constructor gets beyond its defaults.
        clips: whether it classifies clips.
        published: whether weights can be fetched by name; otherwise they are the authors' files.
        image_net: normalised with the statistics of ImageNet, whatever timm notes for the architecture.
    """

    name: str
    model: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    clips: bool = False
    published: bool = True
    image_net: bool = False

    @property
    def proposal(self) -> str:
        """The proposal that the paper uses with it."""
        return CLIP_PROPOSAL if self.clips else IMAGE_PROPOSAL


def _mae(size: str, patch: int) -> CatalogueEntry:
    model = f"vit_{size}_patch{patch}_224"
    arguments = {"global_pool": "avg", "fc_norm": True, "num_classes": 1000}
    return CatalogueEntry(f"mae_{model}", model, arguments, published=False, image_net=True)


def _video_mae(size: str, width: int, layers: int, heads: int) -> CatalogueEntry:
    arguments = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "num_labels": 400,
    }
    return CatalogueEntry(f"videomae_{size}", f"MCG-NJU/videomae-{size}-finetuned-kinetics", arguments, clips=True)


_TIMM: Final = (
    "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "vit_large_patch16_224.augreg_in21k_ft_in1k",
    "vit_medium_patch16_gap_256.sw_in12k_ft_in1k",
    "vit_medium_patch16_gap_384.sw_in12k_ft_in1k",
    "deit_small_patch16_224.fb_in1k",
    "convnext_base.fb_in1k",
    "convnext_base.fb_in22k_ft_in1k",
    "convnext_large.fb_in1k",
    "convnext_large.fb_in22k_ft_in1k",
    "swin_base_patch4_window7_224.ms_in1k",
    "swin_base_patch4_window7_224.ms_in22k_ft_in1k",
    "swin_large_patch4_window7_224.ms_in22k_ft_in1k",
    "swin_large_patch4_window12_384.ms_in22k_ft_in1k",
)
CATALOGUE: Final = {
    entry.name: entry
    for entry in (
        *(CatalogueEntry(name, name) for name in _TIMM),
        _mae("base", 16),
        _mae("large", 16),
        _mae("huge", 14),
        _video_mae("base", 768, 12, 12),
        _video_mae("large", 1024, 24, 16),
    )
}
"""The paper's models. Every other timm model whose structure fits can be named too."""
