"""`vpp-deploy quantize`: from a float32 bundle and data to one in INT8, FP8 or a smaller float."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import BundleArgument, MaxMemoryOption, bytes_of
from vpp_deploy.errors import UsageError
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.files.outputs import check_places
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import step_bar

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Quantization

EXAMPLES = (
    "vpp-deploy quantize small.bundle --data street.mp4 -o small8.bundle",
    "vpp-deploy quantize small.bundle --data clips/ -o s8.bundle --auto 0.05",
    "vpp-deploy quantize vit.bundle --data photos/ -o vit8.bundle --frames 256",
    "vpp-deploy quantize small.bundle --precision fp8 --data clips/ -o f8.bundle",
    "vpp-deploy quantize small.bundle --precision float16 -o half.bundle",
)


def command(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Folder to make.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Video, folder of images, (tensors) .npz file, or a folder of those.",
            show_default="none, for float16 and bfloat16 without --auto",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="TYPE", help="int8, fp8 (Ada and later GPUs), float16 or bfloat16.")
    ] = "int8",
    frames: Annotated[
        int, typer.Option(metavar="N", help="Frames or images to take, evenly from all files.", min=1, max=MOST)
    ] = 64,
    ranges: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Ranges of activations: mse (least squared error), percentile or max.",
            show_default="mse; fp8: max",
        ),
    ] = None,
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
    """Quantise the matrix products of a bundle, with ranges measured on data. Needs no PyTorch."""
    if percentile is not None and ranges != "percentile":
        raise UsageError("--percentile is for --ranges percentile; give both, or leave it out")
    check_places(out)
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.cli.next_step import say_build
    from vpp_deploy.quantization.histogram import range_method
    from vpp_deploy.quantization.quantizer import QuantizeOptions, check_request, quantize

    options = QuantizeOptions(
        precision=precision,
        frames=frames,
        ranges=range_method(ranges) if ranges is not None else None,
        percentile=99.99 if percentile is None else percentile,
        convolutions=convolutions,
        bound=auto,
    )
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    check_request(opened, data, out, options, overwrite=overwrite)
    with step_bar("quantising") as progress:
        made = quantize(opened, data, out, options, overwrite=overwrite, progress=progress)
    facts = made.manifest.quantization
    assert facts is not None
    total = in_bytes(sum(record.bytes for record in made.manifest.files.values()))
    console.say(f"{made.path}: {made.manifest.model.name}, {made.manifest.precision}, {total}")
    console.show(console.facts(describe(facts, made.manifest.precision)))
    say_build(made)


def describe(facts: Quantization, precision: str) -> list[tuple[str, str]]:
    """How a bundle was quantised, in words."""
    rows = [(f"products in {precision}", ", ".join(f"{role} {count}" for role, count in facts.products.items()))]
    if facts.ranges is not None:
        shown = ", ".join(f"{role} {runs} times" for role, runs in facts.runs.items())
        how = facts.ranges if facts.percentile is None else f"percentile {facts.percentile:g}"
        rows.append(("ranges", f"{how}, on {facts.data}: {shown}"))
    if facts.search is not None:
        worst = max(facts.search.errors, key=lambda name: facts.search.errors[name] if facts.search else 0.0)
        rows.append(("error", f"{facts.search.error:.4g} of {facts.search.bound:g} ({worst}), held out"))
        rows.append(("float32 layers", ", ".join(facts.float32) or "none"))
    return rows
