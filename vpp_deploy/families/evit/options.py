"""What an export of an EViT can be asked for beyond what every export can. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vpp_deploy.exporters.deit_config import CLASSES, SIZE, DeitOptions, keep_as_text, known_name, own_config
from vpp_deploy.exporters.labels import labels_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.sources import check_one_source
from vpp_deploy.families.evit.config import PUBLISHED, EViTConfig, parse_keep, published
from vpp_deploy.options import option

PREFIX: Final = "evit:"
KEEP: Final = "0.7"


@dataclass(frozen=True)
class EViTOptions(DeitOptions):
    """Options of EViT models."""

    no_fuse: bool = option(False, "Drop tokens for good, instead of fusing those that a point drops into one.")


def models() -> Mapping[str, str]:
    """The sizes that the authors publish weights of."""
    return {name: f"width {width}, {heads} heads" for name, (width, heads) in PUBLISHED.items()}


def config_of(request: ExportRequest, options: EViTOptions, classes: int = CLASSES) -> EViTConfig:
    """The configuration that is asked for; a module in memory says everything itself.

    Raises:
        ExportError: unknown name.
        ConfigError: a keep rate or an image size that it cannot have.
        UsageError: options that a module in memory says already.
    """
    if not isinstance(request.model, str):
        config: EViTConfig = own_config(request, no_fuse=options.no_fuse or None)
        return config
    name = known_name(request.model, PREFIX, PUBLISHED)
    keep = parse_keep(keep_as_text(request.keep, KEEP))
    size, fuse = request.size or SIZE, not options.no_fuse
    return published(name, keep, fuse=fuse, size=size, pretrain_size=SIZE, classes=classes)


def check(request: ExportRequest, options: EViTOptions) -> None:
    """See, before PyTorch is loaded, that names and numbers make sense and that there is one source of weights.

    Raises:
        UsageError: not exactly one source of weights; see also `config_of`.
        CheckpointError: the checkpoint is not there.
        ConfigError, ExportError: see `config_of` and `labels_of`.
    """
    config_of(request, options)
    check_one_source(request)
    labels_of(options.labels)
