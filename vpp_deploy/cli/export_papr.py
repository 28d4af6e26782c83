"""Exporting a PaPr model from the command line."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from vpp_deploy.cli import console
from vpp_deploy.cli.export_options import CommonOptions, PaprOptions
from vpp_deploy.cli.labels import read_labels
from vpp_deploy.cli.papr_figures import gflops, tokens
from vpp_deploy.errors import CheckpointError, ConfigError, UsageError
from vpp_deploy.models.papr.config import PaprConfig
from vpp_deploy.models.papr.names import proposal_name

_KEEP = "0.5"


def export_papr_model(common: CommonOptions, options: PaprOptions) -> None:
    """Check what can be checked without PyTorch, export, and say what was made and what it computes."""
    config = _config(common, options)
    _check_weights(common, options, config)
    labels = None if options.labels is None else read_labels(options.labels)

    with console.steps() as step:
        step("loading PyTorch")
        from vpp_deploy.exporters import RandomWeights
        from vpp_deploy.exporters.papr_exporter import export_papr

        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it prints every attempt that it repeats
        bundle = export_papr(
            config,
            out=common.out,
            checkpoint=common.checkpoint,
            proposal_checkpoint=options.proposal_checkpoint,
            pretrained=options.pretrained,
            random_weights=None if common.seed is None else RandomWeights(common.seed),
            labels=labels,
            batch=options.batch or 1,
            precision=common.precision,
            overwrite=common.overwrite,
            progress=step,
        )
    from vpp_deploy.bundle import PaprManifest

    manifest = PaprManifest.of(bundle.manifest, "this summary")
    precision = "" if manifest.precision == "float32" else f"{manifest.precision}, "
    total = sum(record.bytes for record in manifest.files.values())
    console.say(
        f"{bundle.path}: {manifest.model.name}, keep ratio {manifest.model.keep_schedule}, "
        f"{console.height_by_width(manifest.frame_size)}, batch {manifest.batch}, "
        f"{len(manifest.class_names)} classes of {manifest.model.dataset}, {precision}{console.megabytes(total)}"
    )
    console.show(console.facts([*gflops(manifest), *tokens(manifest)]))
    if common.seed is not None:
        console.warn("the weights are random and untrained: labels and kept patches will mean nothing")
    console.next_command("vpp-deploy", "build-engine", str(bundle.path))


def _config(common: CommonOptions, options: PaprOptions) -> PaprConfig:
    return PaprConfig(
        common.model,
        _keep_ratio(_KEEP if common.keep is None else common.keep),
        proposal=None if options.proposal is None else proposal_name(options.proposal),
        size=common.size,
        stages=None if options.stages is None else _stages(options.stages),
        merge=options.merge or 0,
    )


def _keep_ratio(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(
            f"keep ratio {text!r}: PaPr takes one number above 0 and at most 1 (1 keeps every patch)"
        ) from error


def _stages(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9](,[0-9])*", text):
        raise UsageError(f"--stages {text!r} is not a list of stages, such as 2,3")
    return tuple(int(stage) for stage in text.split(","))


def _check_weights(common: CommonOptions, options: PaprOptions, config: PaprConfig) -> None:
    sources = {
        "--checkpoint": common.checkpoint is not None,
        "--pretrained": options.pretrained,
        "--random-weights": common.seed is not None,
    }
    given = [name for name, is_given in sources.items() if is_given]
    if not given:
        raise UsageError(
            f"{common.model} needs weights: give --pretrained, which fetches them, --checkpoint FILE, or "
            "--random-weights to try things out"
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if options.proposal_checkpoint is not None and common.seed is not None:
        raise UsageError("--proposal-checkpoint is of no use with --random-weights; leave it out")
    if options.proposal_checkpoint is not None and config.keep == 1:
        raise UsageError("--proposal-checkpoint is of no use with --keep 1, which prunes nothing; leave it out")
    for path in (common.checkpoint, options.proposal_checkpoint):
        _check_file(path)


def _check_file(path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
