"""From a DynamicViT and its weights to a bundle on disk, and back to the PyTorch reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.exporters.classifier import ClassifierReference
from vpp_deploy.exporters.deit import DeitFamily
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families.dynamicvit.config import DynamicViTConfig
from vpp_deploy.families.dynamicvit.model import DynamicViT
from vpp_deploy.families.dynamicvit.options import PREFIX, DynamicViTOptions, config_of


def keep_text(keep: Sequence[float]) -> str:
    """As `--keep` takes it: the base ratio ρ where the ratios are ρ, ρ², ρ³."""
    is_geometric = all(math.isclose(ratio, keep[0] ** power) for power, ratio in enumerate(keep, start=1))
    return ",".join(f"{ratio:g}" for ratio in (keep[:1] if is_geometric else keep))


DEITS: Final = DeitFamily(
    DynamicViT.family, PREFIX, model=DynamicViT, config_of=config_of, config_type=DynamicViTConfig, keep_text=keep_text
)


def export_request(request: ExportRequest, options: DynamicViTOptions) -> Bundle:
    """Export a DynamicViT; errors as `DeitFamily.export`."""
    return DEITS.export(request, options)


def open_reference(bundle: Bundle, selection: str) -> ClassifierReference:
    """See `vpp_deploy.families.open_reference`; it selects a fixed number of patches."""
    del selection
    return DEITS.open_reference(bundle)
