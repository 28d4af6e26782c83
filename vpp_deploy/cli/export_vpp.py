"""Exporting a VPP model from the command line."""

from __future__ import annotations

from vpp_deploy.cli import console
from vpp_deploy.cli.export_options import CommonOptions, VppOptions
from vpp_deploy.errors import ExportError, UsageError
from vpp_deploy.models.config import MODELS, model_config
from vpp_deploy.models.papr.names import CATALOGUE, PREFIX
from vpp_deploy.models.shipped import SHIPPED_MODELS

_KEEP = "0.55"
_CAPACITY = 50
"""Tracks and detections."""


def export_vpp_model(common: CommonOptions, options: VppOptions) -> None:
    """Check what can be checked without PyTorch, export, and say what was made."""
    model, keep = common.model, _KEEP if common.keep is None else common.keep
    if model in CATALOGUE:
        raise ExportError(f"unknown model {model!r}; did you mean {PREFIX}{model}?")
    if common.checkpoint is not None and common.seed is not None:
        raise UsageError("give either --checkpoint FILE or --random-weights, and not both")
    if common.checkpoint is None and common.seed is None and model in MODELS and model not in SHIPPED_MODELS:
        raise UsageError(
            f"{model} comes without weights: give --checkpoint FILE, or --random-weights to try things out"
        )
    model_config(model, keep, options.dataset)  # a wrong name fails here, before PyTorch is loaded

    with console.steps() as step:
        step("loading PyTorch")
        from vpp_deploy.exporters import RandomWeights, export

        bundle = export(
            model,
            out=common.out,
            checkpoint=common.checkpoint,
            random_weights=None if common.seed is None else RandomWeights(common.seed),
            keep=keep,
            size=common.size,
            dataset=options.dataset,
            max_tracks=options.max_tracks or _CAPACITY,
            max_detections=options.max_detections or _CAPACITY,
            selection_noise=options.selection_noise,
            precision=common.precision,
            overwrite=common.overwrite,
            progress=step,
        )
    manifest = bundle.manifest
    precision = "" if manifest.precision == "float32" else f"{manifest.precision}, "
    total = sum(record.bytes for record in manifest.files.values())
    console.say(
        f"{bundle.path}: {manifest.model.name}, keep schedule {manifest.model.keep_schedule}, "
        f"{console.height_by_width(manifest.frame_size)}, {len(manifest.class_names)} classes of "
        f"{manifest.model.dataset}, {precision}{console.megabytes(total)}"
    )
    if common.seed is not None:
        console.warn("the weights are random and untrained: masks, labels and tracks will mean nothing")
    console.next_command("vpp-deploy", "build-engine", str(bundle.path))
