"""What an export of a VPP model can be asked for beyond what every export can. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.labels import labels_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families.vpp.config import CUSTOM, DetectorConfig, model_config
from vpp_deploy.families.vpp.shipped import SHIPPED_MODELS
from vpp_deploy.options import option

CAPACITY = 50
"""Tracks and detections."""


@dataclass(frozen=True)
class VppOptions:
    """Options of VPP models."""

    dataset: str | None = option(None, "Label set from `vpp-deploy models`.", metavar="NAME", shown="the model's own")
    max_tracks: int = option(CAPACITY, "Tracks that one frame can take on.", metavar="N", minimum=1, maximum=4096)
    max_detections: int = option(
        CAPACITY, "Candidate queries that leave the graph per frame.", metavar="N", minimum=1, maximum=4096
    )
    selection_noise: bool = option(False, "Add an input for Gumbel noise, as in training.")
    labels: Path | Sequence[str] | None = option(
        None, "Names of the classes, one per line.", metavar="FILE", shown="those that the library knows", type=Path
    )


def config_of(request: ExportRequest, options: VppOptions) -> DetectorConfig:
    """The configuration that is asked for; one of the user's own says everything itself, labels aside.

    Raises:
        ExportError: unknown model or data set.
        ConfigError: bad keep schedule, or labels that cannot be used.
    """
    labels = labels_of(options.labels)
    if isinstance(request.model, DetectorConfig):
        return request.model if labels is None else replace(request.model, dataset=CUSTOM, classes=labels)
    return model_config(request.model, "0.55" if request.keep is None else request.keep, options.dataset, labels)


def check(request: ExportRequest, options: VppOptions) -> None:
    """See, before PyTorch is loaded, that names are known and that there is one source of weights.

    Raises:
        UsageError: a checkpoint and random weights; or neither, and the model's weights are not shipped.
        ExportError: unknown model or data set.
        ConfigError: bad keep schedule.
    """
    config = config_of(request, options)
    if request.checkpoint is not None and request.random_weights is not None:
        raise UsageError("give either --checkpoint FILE or --random-weights, and not both")
    if request.checkpoint is None and request.random_weights is None and config.name not in SHIPPED_MODELS:
        raise UsageError(
            f"{config.name} comes without weights: give --checkpoint FILE, or --random-weights to try things out "
            "(in Python checkpoint=, random_weights=)"
        )
