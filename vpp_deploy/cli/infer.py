"""`vpp-deploy infer`: from a video to tracked instances, from images or a video to labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from vpp_deploy.cli.options import BundleArgument, EngineOption
from vpp_deploy.errors import UsageError

EXAMPLES = (
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4 --json tracked.jsonl",
    "vpp-deploy infer small.bundle frames/ --youtube-vis results.json",
    "vpp-deploy infer vit.bundle photos/ -o seen --json labels.jsonl --top 3",
)
DEFAULT_TOP: Final = 5
_VPP = "Bundles of VPP models"
_PAPR = "Bundles of PaPr models"


def command(
    bundle: BundleArgument,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Video file, image, or folder of images.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Video with overlay: .mp4, .mov or .mkv. PaPr: or, without extension, a folder of pictures.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One JSON object per frame, image or clip and line. After an error, complete lines stay as "
            "FILE.partial.",
            show_default=False,
        ),
    ] = None,
    engine: EngineOption = "onnxruntime",
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N frames or images.", show_default="all", min=1)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Threads per frame (onnxruntime only).", show_default="one per processor", min=1
        ),
    ] = None,
    youtube_vis: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YouTube-VIS submission, JSON.", show_default=False, rich_help_panel=_VPP),
    ] = None,
    noise_seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Seed of the selection noise, for a bundle that takes it.",
            show_default="no noise",
            min=0,
            rich_help_panel=_VPP,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Labels per image or clip.",
            show_default=str(DEFAULT_TOP),
            min=1,
            rich_help_panel=_PAPR,
        ),
    ] = None,
    hop: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Of a model of clips: frames from the begin of one to the begin of the next.",
            show_default="half a clip",
            min=1,
            rich_help_panel=_PAPR,
        ),
    ] = None,
) -> None:
    """Run a bundle's engine over a video or images; without an output, just report how it went and what was found."""
    if threads is not None and engine != "onnxruntime":
        raise UsageError(f"--threads is for onnxruntime, not for {engine}; leave it out")
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.bundle.papr_manifest import PaprManifest
    from vpp_deploy.engines import load_engine
    from vpp_deploy.inference import ClassificationOutputs, Outputs

    opened = Bundle.open(bundle)
    model = opened.manifest.model.name
    if isinstance(opened.manifest, PaprManifest):
        _refuse(model, {"--youtube-vis": youtube_vis, "--noise-seed": noise_seed}, "VPP models")
        from vpp_deploy.cli.infer_papr import classify

        to_write = ClassificationOutputs(out, json)
        loaded = load_engine(opened, engine, threads=threads)
        classify(loaded, source, to_write, top=DEFAULT_TOP if top is None else top, hop=hop, max_frames=max_frames)
    else:
        _refuse(model, {"--top": top, "--hop": hop}, "PaPr models")
        from vpp_deploy.cli.infer_vpp import track

        loaded = load_engine(opened, engine, threads=threads)
        track(loaded, source, Outputs(out, json, youtube_vis), noise_seed=noise_seed, max_frames=max_frames)


def _refuse(model: str, options: Mapping[str, object], family: str) -> None:
    if given := [name for name, value in options.items() if value is not None]:
        raise UsageError(f"{', '.join(given)}: for {family}, not for {model}; leave it out")
