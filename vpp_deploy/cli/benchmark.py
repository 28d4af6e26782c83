"""`vpp-deploy benchmark`: how fast are engines, compared with each other and with what one would use instead?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.benchmark.names import PEERS
from vpp_deploy.cli.json_file import report_file
from vpp_deploy.cli.options import MaxMemoryOption, bytes_of
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import check_places
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import step_bar

EXAMPLES = (
    "vpp-deploy benchmark small.bundle --peer torch",
    "vpp-deploy benchmark dense.bundle small.bundle --rounds 100 --json speed.json",
    "vpp-deploy benchmark small.bundle --streams 4 --threads 1",
)


def command(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE...", help="Folders that `vpp-deploy export` wrote.", show_default=False),
    ],
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Engine: {', '.join(BACKENDS)}; repeat it for more.",
            show_default="all that the bundles have",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"What else to compare: {', '.join(PEERS)}; repeat it for more.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="INPUT", help="Run on this, as `infer` does.", show_default="synthetic data"),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", help="Timed calls of each candidate.", min=5, max=1_000_000)] = 50,
    streams: Annotated[int, typer.Option(metavar="N", help="Also run N sessions at once.", min=1, max=1024)] = 1,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads of each engine on the processor.", show_default="all", min=1, max=1024),
    ] = None,
    max_memory: MaxMemoryOption = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write everything, each single time too, as JSON.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw latency against accuracy: .svg, .png or .pdf.", show_default=False),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="For --plot: what `evaluate --json` wrote; repeat it.", show_default=False),
    ] = None,
) -> None:
    """Time engines and peers side by side, alternating call by call; ratios come with a 95 % confidence interval."""
    from vpp_deploy.benchmark.candidates import candidates
    from vpp_deploy.benchmark.plot import PlotFile, Subject
    from vpp_deploy.benchmark.report import render
    from vpp_deploy.benchmark.runner import benchmark
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.media.input_file import InputFile

    if scores and plot is None:
        raise UsageError("--scores is for --plot; give both, or leave it out")
    check_places(json, plot)
    read = None if source is None else InputFile(source)
    opened = [Bundle.open(path, max_memory=bytes_of(max_memory)) for path in bundles]
    inputs = [*bundles, *(scores or ()), *([source] if source else ())]
    check_outputs([path for path in (json, plot) if path is not None], inputs=inputs)
    options = {} if threads is None else {"threads": threads}
    with report_file(json) as write, ExitStack() as stack:
        picture = None if plot is None else PlotFile(plot, scores or ())
        if picture is not None:
            stack.callback(picture.discard)
            chosen = candidates(opened, engine or (), peer or (), options)
            picture.check(Subject(one.called, one.engine, one.bundle.manifest.bundle_hash) for one in chosen)
        with step_bar("measuring") as progress:
            report = benchmark(
                opened,
                engines=engine or (),
                peers=peer or (),
                source=read,
                rounds=rounds,
                streams=streams,
                options=options,
                progress=lambda what, done, total: progress(f"{what} {done} of {total}", done / total),
            )
        console.show(render(report))
        if picture is not None:
            picture.draw(report)
        write(report.to_dict())
