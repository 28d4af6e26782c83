"""`vpp-deploy quantize`: from a float32 bundle and data to a bundle in INT8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_deploy.cli.options import BundleArgument, MaxMemoryOption, bytes_of, flag
from vpp_deploy.errors import UsageError
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import step_bar

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Quantization

EXAMPLES = (
    "vpp-deploy quantize small.bundle --data street.mp4 -o small8.bundle",
    "vpp-deploy quantize small.bundle --data clips/ -o s8.bundle --auto 0.05",
    "vpp-deploy quantize vit.bundle --data photos/ -o vit8.bundle --frames 256",
)


def command(
    bundle: BundleArgument,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Video, folder of images, (tensors) .npz file, or a folder of those.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Folder to make.", show_default=False)],
    frames: Annotated[
        int, typer.Option(metavar="N", help="Frames or images to take, evenly from all files.", min=1, max=MOST)
    ] = 64,
    ranges: Annotated[
        str,
        typer.Option(metavar="HOW", help="Ranges of activations: mse (least squared error), percentile or max."),
    ] = "mse",
    percentile: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Values within a range, in percent.", show_default="99.99 of --ranges percentile"
        ),
    ] = None,
    convolutions: Annotated[
        bool, flag("--convolutions", help="Convolutions too: GPUs gain, ONNX Runtime on AVX2 loses.")
    ] = False,
    auto: Annotated[
        float | None,
        typer.Option(
            metavar="BOUND",
            help="Leave the worst layers in float32 until the error on held-out frames is within this share.",
            show_default="quantise all",
        ),
    ] = None,
    overwrite: Annotated[bool, flag("--overwrite", help="Replace -o BUNDLE if it exists.")] = False,
    max_memory: MaxMemoryOption = None,
) -> None:
    """Quantise the matrix products of a bundle to INT8, with ranges measured on data. Needs no PyTorch."""
    if percentile is not None and ranges != "percentile":
        raise UsageError("--percentile is for --ranges percentile; give both, or leave it out")
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.quantization.histogram import range_method
    from vpp_deploy.quantization.quantizer import QuantizeOptions, quantize

    options = QuantizeOptions(
        frames=frames,
        ranges=range_method(ranges),
        percentile=99.99 if percentile is None else percentile,
        convolutions=convolutions,
        bound=auto,
    )
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    check_outputs([out], inputs=[bundle, data])
    with step_bar("quantising") as progress:
        made = quantize(opened, data, out, options, overwrite=overwrite, progress=progress)
    facts = made.manifest.quantization
    assert facts is not None
    total = console.megabytes(sum(record.bytes for record in made.manifest.files.values()))
    console.say(f"{made.path}: {made.manifest.model.name}, {made.manifest.precision}, {total}")
    console.show(console.facts(describe(facts)))
    console.next_command("vpp-deploy", "build-engine", str(made.path))


def describe(facts: Quantization) -> list[tuple[str, str]]:
    """How a bundle was quantised, in words."""
    shown = ", ".join(f"{role} {runs} times" for role, runs in facts.runs.items())
    how = facts.ranges if facts.percentile is None else f"percentile {facts.percentile:g}"
    rows = [
        ("INT8 products", ", ".join(f"{role} {count}" for role, count in facts.products.items())),
        ("ranges", f"{how}, on {facts.data}: {shown}"),
    ]
    if facts.search is not None:
        worst = max(facts.search.errors, key=lambda name: facts.search.errors[name] if facts.search else 0.0)
        rows.append(("error", f"{facts.search.error:.4f} of {facts.search.bound:g} ({worst}), held out"))
        rows.append(("float32 layers", ", ".join(facts.float32) or "none"))
    return rows
