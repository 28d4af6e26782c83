"""What an export of a PaPr model can be asked for beyond what every export can. Nothing here needs PyTorch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vpp_deploy.errors import ConfigError, UsageError
from vpp_deploy.exporters.labels import read_labels
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.sources import check_exists
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.names import IMAGE_PROPOSAL, proposal_name
from vpp_deploy.options import option

KEEP = 0.5


@dataclass(frozen=True)
class PaprOptions:
    """Options of PaPr models."""

    pretrained: bool = option(False, "Fetch the weights that the model's library publishes.")
    proposal: str | None = option(
        None,
        "ConvNet that finds the significant patches, from `vpp-deploy models`.",
        metavar="NAME",
        shown=f"{IMAGE_PROPOSAL}; for clips x3d_m",
    )
    proposal_checkpoint: Path | None = option(None, "Weights of the proposal.", metavar="FILE", shown="fetched by name")
    proposal_weights: str | None = option(
        None,
        "Which weights of the proposal's checkpoint: raw, ema, or a key in it.",
        metavar="WHICH",
        shown="raw, if there are any",
    )
    merge: int = option(0, "Tokens that each block of the later half of a ViT merges (ToMe).", metavar="R", minimum=0)
    stages: str | None = option(
        None, "Stages of a ConvNeXt or Swin to prune, such as 2,3.", metavar="LIST", shown="all four"
    )
    labels: Path | Sequence[str] | None = option(
        None,
        "Names of the classes, one per line.",
        metavar="FILE",
        shown="those that the library knows",
        type=Path,
    )
    features: bool = option(False, "Export the embedding of a model that tells no classes apart, such as CLIP's.")
    batch: int = option(1, "Images or clips that the graph takes at once.", metavar="N", minimum=1, maximum=4096)


def config_of(request: ExportRequest, options: PaprOptions) -> PaprConfig:
    """The configuration that is asked for; one of the user's own says everything itself.

    Raises:
        ExportError: unknown proposal.
        ConfigError: bad keep ratio or number of merged tokens.
        UsageError: stages that are no list, or options that a configuration of the user's own says already.
    """
    if isinstance(request.model, PaprConfig):
        said = {"keep": request.keep, "size": request.size, "proposal": options.proposal, "stages": options.stages}
        if twice := [name for name, value in said.items() if value is not None]:
            raise UsageError(f"export {request.model.model}: {', '.join(twice)} belong into the PaprConfig itself")
        return request.model
    return PaprConfig(
        request.model,
        _keep_ratio(KEEP if request.keep is None else request.keep),
        proposal=None if options.proposal is None else proposal_name(options.proposal),
        size=request.size,
        stages=None if options.stages is None else _stages(options.stages),
        merge=options.merge,
    )


def check(request: ExportRequest, options: PaprOptions) -> None:
    """See, before PyTorch is loaded, that names and numbers make sense and that there is one source of weights.

    Raises:
        UsageError: not exactly one of a checkpoint, published and random weights; a proposal checkpoint that is of no
            use.
        CheckpointError: a file is not there.
        ConfigError, ExportError: see `config_of`.
    """
    config = config_of(request, options)
    sources = {
        "--checkpoint": request.checkpoint is not None,
        "--pretrained": options.pretrained,
        "--random-weights": request.random_weights is not None,
    }
    given = [name for name, is_given in sources.items() if is_given]
    if not given:
        raise UsageError(
            f"{config.model} needs weights: give --pretrained, which fetches them, --checkpoint FILE, or "
            "--random-weights to try things out"
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if options.proposal_checkpoint is not None and request.random_weights is not None:
        raise UsageError("--proposal-checkpoint is of no use with --random-weights; leave it out")
    if options.proposal_checkpoint is not None and config.keep == 1:
        raise UsageError("--proposal-checkpoint is of no use with --keep 1, which prunes nothing; leave it out")
    if options.proposal_weights is not None and options.proposal_checkpoint is None:
        raise UsageError("--proposal-weights chooses among the weights of a --proposal-checkpoint; give one")
    check_exists(request.checkpoint)
    check_exists(options.proposal_checkpoint)
    if options.features and options.labels is not None:
        raise UsageError("--features is for models without classes, and --labels names classes; give one of them")
    if isinstance(options.labels, Path):
        read_labels(options.labels)


def _keep_ratio(keep: str | float) -> float:
    try:
        return float(keep)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"keep ratio {keep!r:.80}: PaPr takes one number above 0 and at most 1 (1 keeps every patch)"
        ) from error


def _stages(text: str | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(text, str):
        return tuple(text)
    if not re.fullmatch(r"[0-9](,[0-9])*", text):
        raise UsageError(f"--stages {text!r} is not a list of stages, such as 2,3")
    return tuple(int(stage) for stage in text.split(","))
