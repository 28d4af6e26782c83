"""`vpp-deploy export`: from a checkpoint to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import flag, parse_size
from vpp_deploy.errors import UsageError
from vpp_deploy.models.config import MODELS, model_config
from vpp_deploy.models.shipped import SHIPPED_MODELS

EXAMPLES = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy export vpp-tiny --checkpoint t.pth --keep 0.4 -o tiny.bundle",
    "vpp-deploy export vpp-demo --keep 0.55 -o demo.bundle",
    "vpp-deploy export vpp-micro --random-weights -o micro.bundle",
)


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name from `vpp-deploy models`.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Folder to make.", show_default=False)],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Trained weights, .pth or .safetensors.",
            show_default=f"shipped weights, for {', '.join(SHIPPED_MODELS)}",
        ),
    ] = None,
    random_weights: Annotated[bool, flag("--random-weights", help="Untrained weights, to try things out.")] = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of --random-weights.", show_default="0", min=0)
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="SCHEDULE", help="Tokens to keep: 0.55, 0.4, dense, or four ratios, before blocks 1, 3, 6 and 9."
        ),
    ] = "0.55",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Height x width of the input in pixels, multiples of 32.",
            show_default="the model's own",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Label set from `vpp-deploy models`.", show_default="the model's own"),
    ] = None,
    max_tracks: Annotated[int, typer.Option(metavar="N", help="Tracks that one frame can take on.", min=1)] = 50,
    max_detections: Annotated[
        int, typer.Option(metavar="N", help="Candidate queries that leave the graph per frame.", min=1)
    ] = 50,
    selection_noise: Annotated[
        bool, flag("--selection-noise", help="Add an input for Gumbel noise, as in training.")
    ] = False,
    overwrite: Annotated[bool, flag("--overwrite", help="Replace BUNDLE if it exists.")] = False,
) -> None:
    """Export a model with its weights to a bundle: ONNX graphs, one weights file and a manifest. Needs PyTorch."""
    if checkpoint is not None and random_weights:
        raise UsageError("give either --checkpoint FILE or --random-weights, and not both")
    if checkpoint is None and not random_weights and model in MODELS and model not in SHIPPED_MODELS:
        raise UsageError(
            f"{model} comes without weights: give --checkpoint FILE, or --random-weights to try things out"
        )
    if seed is not None and not random_weights:
        raise UsageError("--seed is for --random-weights; leave it out with --checkpoint")
    frame_size = None if size is None else parse_size(size)
    model_config(model, keep, dataset)  # a wrong name fails here, before PyTorch is loaded

    with console.steps() as step:
        step("loading PyTorch")
        from vpp_deploy.exporters import RandomWeights, export

        bundle = export(
            model,
            out=out,
            checkpoint=checkpoint,
            random_weights=RandomWeights(seed or 0) if random_weights else None,
            keep=keep,
            size=frame_size,
            dataset=dataset,
            max_tracks=max_tracks,
            max_detections=max_detections,
            selection_noise=selection_noise,
            overwrite=overwrite,
            progress=step,
        )
    manifest = bundle.manifest
    total = sum(record.bytes for record in manifest.files.values())
    console.say(
        f"{bundle.path}: {manifest.model.name}, keep schedule {manifest.model.keep_schedule}, "
        f"{console.height_by_width(manifest.frame_size)}, {len(manifest.class_names)} classes of "
        f"{manifest.model.dataset}, {console.megabytes(total)}"
    )
    if random_weights:
        console.warn("the weights are random and untrained: masks, labels and tracks will mean nothing")
    console.next_command("vpp-deploy", "build-engine", str(bundle.path))
