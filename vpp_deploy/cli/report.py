"""`vpp-deploy report`: a bundle, and what was measured of it, as a page to look at and to send."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    bytes_of,
)
from vpp_deploy.errors import DatasetError
from vpp_deploy.files.outputs import check_places
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.terminal import console

EXAMPLES = (
    "vpp-deploy report small.bundle -o report.html",
    "vpp-deploy report small.bundle --input street.mp4 --parity parity.json",
    "vpp-deploy report small.bundle --benchmark speed.json --evaluate scores.json",
)


_NAMED: Final = 3
"""Bundles that a warning names."""


def _results(command: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        metavar="FILE", help=f"What `{command} --json` wrote; repeat it for more.", show_default=False
    )
    return option


def command(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page.")] = Path("report.html"),
    parity: Annotated[list[Path] | None, _results("parity")] = None,
    benchmark: Annotated[list[Path] | None, _results("benchmark")] = None,
    evaluate: Annotated[list[Path] | None, _results("evaluate")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="INPUT",
            help="Show what the model finds in this, as `infer` takes it.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option(metavar="N", help="Show this many frames, images or clips of it.", min=1, max=100)
    ] = 12,
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put this .mp4 into the page, such as `infer -o` wrote.", show_default=False),
    ] = None,
    engine: EngineOption = "onnxruntime",
    stream: StreamOption = None,
    max_pixels: MaxPixelsOption = None,
    max_memory: MaxMemoryOption = None,
) -> None:
    """Write one HTML file that stands for itself: model, tokens and arithmetic, parity, frames, speed, accuracy."""
    check_places(out)
    from vpp_deploy.report.needs import require

    require()
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import load_engine
    from vpp_deploy.media.input_file import InputFile
    from vpp_deploy.report.measurements import Benchmark, Evaluation, is_of, read_measurement
    from vpp_deploy.report.page import Measured, PageFile
    from vpp_deploy.report.parity import Parity
    from vpp_deploy.report.pictures import run_frames, video_url

    results = [*(parity or ()), *(benchmark or ()), *(evaluate or ()), *([video] if video else ())]
    read = None if source is None else InputFile(source, stream=stream, max_pixels=max_pixels)
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    check_outputs([out], inputs=[bundle, *results, *([source] if source else [])])
    with PageFile(out) as page:
        checks = [read_measurement(path, Parity, "parity") for path in parity or ()]
        for path, check in zip(parity or (), checks, strict=True):
            if check.fingerprint not in (None, opened.manifest.fingerprint):
                raise DatasetError(
                    f"{path} is the parity of another bundle than {bundle}, or of an earlier export of it; measure it "
                    f"with: vpp-deploy parity {opened.shell_path} --input FILE --json {shlex.quote(str(path))}"
                )
        speeds = [read_measurement(path, Benchmark, "benchmark") for path in benchmark or ()]
        scores = [read_measurement(path, Evaluation, "evaluate") for path in evaluate or ()]
        for path, score in zip(evaluate or (), scores, strict=True):
            if score.task != opened.manifest.task:
                raise DatasetError(
                    f"{path} has scores of {score.task}, and {bundle} is for {opened.manifest.task}; leave it out"
                )
        moments = () if read is None else run_frames(load_engine(opened, engine), read, frames)
        film = video_url(video) if video else ""
        page.write(opened, Measured(checks, speeds, scores, moments, Path(source or "").name, film))
    for what, files, given in (("benchmark", benchmark, speeds), ("evaluate", evaluate, scores)):
        if given and not any(is_of(part, opened) for one in given for part in one.measured):
            named = list(dict.fromkeys(name for one in given for name in one.bundles))
            of, own = ", ".join(named[:_NAMED]) or "no bundle", bundle.resolve().name
            own += " as it is now" if own in named else ""
            console.warn(f"{', '.join(map(str, files or ()))}: what `{what}` measured is of {of}, not of {own}")
    for note in read.notes if read else ():
        console.warn(note)
    console.say(f"wrote {out}: open it in a browser")
