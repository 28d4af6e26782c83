"""From an EViT and its weights to a bundle on disk, and back to the PyTorch reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.exporters.classifier import ClassifierReference
from vpp_deploy.exporters.deit import DeitFamily
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.weights import Tensors
from vpp_deploy.families.evit.config import EViTConfig
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.evit.options import PREFIX, EViTOptions, config_of
from vpp_deploy.families.evit.position_embedding import resized_position_embedding


def keep_text(keep: Sequence[float]) -> str:
    """As `--keep` takes it: one rate where all are the same."""
    return ",".join(f"{rate:g}" for rate in (keep[:1] if len(set(keep)) == 1 else keep))


def with_resized_embedding(tensors: Tensors, config: EViTConfig) -> Tensors:
    """A DeiT checkpoint whose position embedding fits the input; one that was trained at this size stays as it is."""
    embedding = tensors.get("pos_embed")
    if embedding is None:
        return tensors  # the strict load says so
    if math.prod(config.pretrain_grid) != config.patches and tuple(embedding.shape[:2]) == (1, 1 + config.patches):
        return tensors
    return {**tensors, "pos_embed": resized_position_embedding(embedding, config)}


DEITS: Final = DeitFamily(
    EViT.family,
    PREFIX,
    model=EViT,
    config_of=config_of,
    config_type=EViTConfig,
    keep_text=keep_text,
    change=with_resized_embedding,
)


def export_request(request: ExportRequest, options: EViTOptions) -> Bundle:
    """Export an EViT; errors as `DeitFamily.export`."""
    return DEITS.export(request, options)


def open_reference(bundle: Bundle, selection: str) -> ClassifierReference:
    """See `vpp_deploy.families.open_reference`; it selects a fixed number of patches."""
    del selection
    return DEITS.open_reference(bundle)
