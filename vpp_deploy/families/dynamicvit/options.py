"""What an export of a DynamicViT can be asked for beyond what every export can. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vpp_deploy.exporters.deit_config import CLASSES, SIZE, DeitOptions, keep_as_text, known_name, own_config
from vpp_deploy.exporters.labels import labels_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.sources import check_one_source
from vpp_deploy.families.dynamicvit.config import PUBLISHED, DynamicViTConfig, parse_keep, published

PREFIX: Final = "dynamicvit:"
KEEP: Final = "0.7"


@dataclass(frozen=True)
class DynamicViTOptions(DeitOptions):
    """Options of DynamicViT models."""


def models() -> Mapping[str, str]:
    """The sizes that the authors publish weights of."""
    return {name: f"width {width}, {heads} heads" for name, (width, heads) in PUBLISHED.items()}


def config_of(request: ExportRequest, options: DynamicViTOptions, classes: int = CLASSES) -> DynamicViTConfig:
    """The configuration that is asked for; a module in memory says everything itself.

    Raises:
        ExportError: unknown name.
        ConfigError: a keep ratio or an image size that it cannot have.
        UsageError: options that a module in memory says already.
    """
    if not isinstance(request.model, str):
        config: DynamicViTConfig = own_config(request)
        return config
    name = known_name(request.model, PREFIX, PUBLISHED)
    return published(name, parse_keep(keep_as_text(request.keep, KEEP)), request.size or SIZE, classes)


def check(request: ExportRequest, options: DynamicViTOptions) -> None:
    """See, before PyTorch is loaded, that names and numbers make sense and that there is one source of weights.

    Raises:
        UsageError: not exactly one source of weights; see also `config_of`.
        CheckpointError: the checkpoint is not there.
        ConfigError, ExportError: see `config_of` and `labels_of`.
    """
    config_of(request, options)
    check_one_source(request)
    labels_of(options.labels)
