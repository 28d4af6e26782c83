"""`vpp-deploy export`: from a model's name and weights to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli.export_options import CommonOptions, PaprOptions, VppOptions, given
from vpp_deploy.cli.options import flag, parse_size
from vpp_deploy.errors import UsageError
from vpp_deploy.models.papr.names import IMAGE_PROPOSAL, PREFIX
from vpp_deploy.models.shipped import SHIPPED_MODELS
from vpp_deploy.precision import check_precision

EXAMPLES = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy export vpp-tiny --checkpoint t.pth --keep 0.4 -o tiny.bundle",
    "vpp-deploy export vpp-demo --keep 0.55 -o demo.bundle",
    "vpp-deploy export papr:deit_small_patch16_224 --pretrained -o vit.bundle",
    "vpp-deploy export papr:videomae_base --random-weights -o clips.bundle",
)
_VPP = "VPP models"
_PAPR = "PaPr models (papr:NAME)"


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
        int | None,
        typer.Option(metavar="N", help="Seed of --random-weights.", show_default="0", min=0),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEDULE",
            help="Tokens to keep. VPP: 0.55, 0.4, dense, or four ratios, before blocks 1, 3, 6 and 9. "
            "PaPr: a ratio above 0 and up to 1.",
            show_default="0.55; PaPr: 0.5",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Height x width of the input in pixels, multiples of 32 (PaPr: of the model's patches).",
            show_default="the model's own",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="Of matrix products and convolutions: float32, float16 or bfloat16. The rest is float32.",
        ),
    ] = "float32",
    overwrite: Annotated[bool, flag("--overwrite", help="Replace BUNDLE if it exists.")] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Label set from `vpp-deploy models`.",
            show_default="the model's own",
            rich_help_panel=_VPP,
        ),
    ] = None,
    max_tracks: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Tracks that one frame can take on.", show_default="50", min=1, rich_help_panel=_VPP
        ),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Candidate queries that leave the graph per frame.",
            show_default="50",
            min=1,
            rich_help_panel=_VPP,
        ),
    ] = None,
    selection_noise: Annotated[
        bool,
        flag("--selection-noise", help="Add an input for Gumbel noise, as in training.", rich_help_panel=_VPP),
    ] = False,
    pretrained: Annotated[
        bool,
        flag("--pretrained", help="Fetch the weights that the model's library publishes.", rich_help_panel=_PAPR),
    ] = False,
    proposal: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ConvNet that finds the significant patches, from `vpp-deploy models`.",
            show_default=f"{IMAGE_PROPOSAL}; for clips x3d_m",
            rich_help_panel=_PAPR,
        ),
    ] = None,
    proposal_checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights of the proposal.", show_default="fetched by name", rich_help_panel=_PAPR
        ),
    ] = None,
    merge: Annotated[
        int | None,
        typer.Option(
            metavar="R",
            help="Tokens that each block of the later half of a ViT merges (ToMe).",
            show_default="0",
            min=0,
            rich_help_panel=_PAPR,
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Stages of a ConvNeXt or Swin to prune, such as 2,3.",
            show_default="all four",
            rich_help_panel=_PAPR,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the classes, one per line.",
            show_default="those that the library knows",
            rich_help_panel=_PAPR,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Images or clips that the graph takes at once.",
            show_default="1",
            min=1,
            rich_help_panel=_PAPR,
        ),
    ] = None,
) -> None:
    """Export a model with its weights to a bundle: ONNX graphs, one weights file and a manifest. Needs PyTorch."""
    if seed is not None and not random_weights:
        raise UsageError("--seed is for --random-weights; leave it out with other weights")
    frame_size = None if size is None else parse_size(size)
    seeded = (seed or 0) if random_weights else None
    common = CommonOptions(
        model, out, checkpoint, seeded, keep, frame_size, check_precision(precision, "--precision"), overwrite
    )
    for_vpp = VppOptions(dataset, max_tracks, max_detections, selection_noise)
    for_papr = PaprOptions(pretrained, proposal, proposal_checkpoint, merge, stages, labels, batch)
    if model.startswith(PREFIX):
        _refuse(model, given(for_vpp), "VPP models")
        from vpp_deploy.cli.export_papr import export_papr_model

        export_papr_model(common, for_papr)
    else:
        _refuse(model, given(for_papr), f"PaPr models, such as {PREFIX}deit_small_patch16_224")
        from vpp_deploy.cli.export_vpp import export_vpp_model

        export_vpp_model(common, for_vpp)


def _refuse(model: str, options: list[str], family: str) -> None:
    if options:
        raise UsageError(f"{', '.join(options)}: for {family}, not for {model}; leave it out")
