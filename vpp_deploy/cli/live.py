"""`vpp-deploy live`: cameras and streams as they come, to tracked instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    TimeoutOption,
    bytes_of,
)
from vpp_deploy.cli.record_options import Source, load_options_for, options_by_name, with_record_options
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import VideoError
from vpp_deploy.files.outputs import check_places
from vpp_deploy.machine import available_processors
from vpp_deploy.options import options_of
from vpp_deploy.terminal import console

if TYPE_CHECKING:
    from vpp_deploy.serving.live import LiveRun
    from vpp_deploy.serving.live.watch import SourceLists

EXAMPLES = (
    "vpp-deploy live small.bundle rtsp://door/a rtsp://yard/b --json lines",
    "vpp-deploy live small.bundle cameras.txt --json lines --metrics 9100",
    "vpp-deploy live small.bundle 0 -o seen --workers 1",
)
_MOST_WORKERS: Final = 1024
_LOOK: Final = 0.5
"""Seconds between two looks at the sources and their lists."""


def make_command() -> Callable[..., None]:
    """The command, with what every backend can be loaded with."""
    backends = [Source(record.name, record.name, "Options", record.load_options) for record in BACKENDS.values()]
    loading = options_by_name(backends)

    def command(
        bundle: BundleArgument,
        source: Annotated[
            list[str],
            typer.Argument(
                metavar="SOURCE",
                help="rtsp:// or http:// address, number of a camera, or file at its own pace; or a .txt list with one "
                "a line, which is watched: sources begin and end as it changes.",
                show_default=False,
            ),
        ],
        json: Annotated[
            Path | None,
            typer.Option(
                metavar="DIR",
                help="Folder for JSON lines, a file for each source, which grows as results come.",
                show_default=False,
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                "-o",
                "--output",
                metavar="DIR",
                help="Folder for videos with overlay, one for each source.",
                show_default=False,
            ),
        ] = None,
        workers: Annotated[
            int | None,
            typer.Option(
                metavar="N",
                help="Frames that run at once.",
                show_default="one for each processor",
                min=1,
                max=_MOST_WORKERS,
            ),
        ] = None,
        metrics: Annotated[
            str | None,
            typer.Option(metavar="[HOST:]PORT", help="Serve metrics for Prometheus there.", show_default=False),
        ] = None,
        timeout: TimeoutOption = None,
        engine: EngineOption = "onnxruntime",
        max_memory: MaxMemoryOption = None,
        max_pixels: MaxPixelsOption = None,
        *,
        given: Mapping[str, Any],
    ) -> None:
        load_options = load_options_for(engine, given, loading)
        from vpp_deploy.bundle import Bundle
        from vpp_deploy.cli.infer_jobs import check_folders
        from vpp_deploy.engines import load_engine
        from vpp_deploy.files.outputs import make_folder
        from vpp_deploy.serving.live import LiveRun
        from vpp_deploy.serving.live.capture import State
        from vpp_deploy.serving.live.metrics import LiveCollector
        from vpp_deploy.serving.live.table import status_table
        from vpp_deploy.serving.live.watch import SourceLists
        from vpp_deploy.serving.metrics import serve_metrics
        from vpp_deploy.tasks import TASKS

        folders = [folder for folder in (json, out) if folder is not None]
        check_places(*folders)
        check_folders(folders)
        lists = SourceLists(source)
        opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
        workers = workers or available_processors()
        if workers > 1 and any(option.name == "threads" for option in options_of(BACKENDS[engine].load_options)):
            load_options.setdefault("threads", 1)
        loaded = load_engine(opened, engine, **load_options)
        task = TASKS[opened.manifest.task]
        model = loaded if task.open_model is None else task.open_model(loaded)
        reading = {"timeout": timeout, "max_pixels": max_pixels}
        run = LiveRun(model, workers=workers, lines=json, videos=out, reading=reading, protect=[bundle])
        with ExitStack() as stack:
            stack.enter_context(run)
            if metrics is not None:
                where = stack.enter_context(serve_metrics(run.pool, metrics, LiveCollector(run)))
                console.say(f"metrics: {where.url}")
            for folder in folders:
                make_folder(folder)
            _begin(run, lists)
            stopped = _go_on(run, lists)
        console.show(status_table(run.statuses))
        if opened.manifest.provenance.weights.kind == "random":
            console.warn(f"the bundle's weights are random and untrained: {task.results(opened.manifest)} mean nothing")
        failed = [status.problem for status in run.statuses if status.state is State.FAILED]
        if failed:
            problem = f"{len(failed)} of {len(run.statuses)} sources failed: {failed[0]}"
            if not stopped:
                raise VideoError(problem)
            console.warn(problem)

    command.__doc__ = (
        "Run a bundle's engine over live sources until they end, or Ctrl-C: of each the newest frame, in a stream of "
        "its own. A source that breaks off is opened again; none keeps the others waiting."
    )
    return with_record_options(command, backends)


def _begin(run: LiveRun, lists: SourceLists) -> None:
    run.set_sources(lists.sources)
    while run.notes:
        console.warn(run.notes.pop(0))


def _go_on(run: LiveRun, lists: SourceLists) -> bool:
    """Until every source has ended and none can come; or a signal, after which outputs are as whole as ever: True."""
    from vpp_deploy.files.interrupts import Interrupted

    told, doubled = None, _tell_doubled(lists, [])
    with _watched(run) as show:
        try:
            while lists.watching or not run.over:
                run.wait(_LOOK)
                if lists.look():
                    _begin(run, lists)
                    doubled = _tell_doubled(lists, doubled)
                if lists.problem and lists.problem != told:
                    console.warn(f"{lists.problem}; the sources stay as they were")
                told = lists.problem
                show()
        except Interrupted as signal:
            console.say(f"{signal}: ending {len(run.statuses)} sources")
            run.close()
            return True
    return False


def _tell_doubled(lists: SourceLists, told: list[str]) -> list[str]:
    from vpp_deploy.media.location import shown

    for source in lists.doubled:
        if source not in told:
            console.warn(f"{shown(source)} is named more than once; it runs once")
    return lists.doubled


@contextmanager
def _watched(run: LiveRun) -> Iterator[Callable[[], None]]:
    """A function that shows how the sources are doing: a table on a terminal, elsewhere a line for each change."""
    from vpp_deploy.serving.live.table import Changes, status_table

    err = console.stderr()
    if not console.is_watched(err.file):
        changes = Changes()

        def tell() -> None:
            for line in changes.lines(run.statuses):
                console.say(console.one_line(line))

        yield tell
        tell()
        return
    from rich.live import Live

    with Live(console=err, auto_refresh=False, transient=True) as live:
        yield lambda: live.update(status_table(run.statuses), refresh=True)
