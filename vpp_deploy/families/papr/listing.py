"""What `vpp-deploy models` tells of PaPr. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpp_deploy.families import Listing
from vpp_deploy.families.papr.names import CATALOGUE, CLIP_PROPOSALS, IMAGE_PROPOSALS, PREFIX
from vpp_deploy.terminal import console


def models() -> Mapping[str, str]:
    """The paper's models, and what each takes."""
    return {
        entry.name: f"{'clips' if entry.clips else 'images'}, proposal {entry.proposal}" for entry in CATALOGUE.values()
    }


def listing() -> Listing:
    """Models and proposals."""
    data = _data()
    table = console.table("model", "input", "default proposal", "weights", title="PaPr models")
    for name, model in data["papr_models"].items():
        table.add_row(name, model["input"], model["proposal"], _origin(model["published"]))
    proposals = console.table("--proposal", "for", "weights", title="PaPr proposals")
    for name, proposal in data["papr_proposals"].items():
        proposals.add_row(name, proposal["input"], _origin(proposal["published"]))
    return Listing(
        data,
        (
            table,
            f"Every other timm ViT, ConvNeXt or Swin can be named too, such as {PREFIX}vit_tiny_patch16_224.\n"
            "Published weights are fetched by name: --pretrained; others need a file: --checkpoint.\n",
            proposals,
        ),
    )


def _origin(published: bool) -> str:
    return "published" if published else "authors' file"


def _data() -> dict[str, Any]:
    return {
        "papr_models": {
            PREFIX + entry.name: {
                "input": "clips" if entry.clips else "images",
                "proposal": entry.proposal,
                "published": entry.published,
            }
            for entry in CATALOGUE.values()
        },
        "papr_proposals": {
            **{name: {"input": "images", "published": True} for name in IMAGE_PROPOSALS},
            **{name: {"input": "clips", "published": False} for name in CLIP_PROPOSALS},
        },
    }
