"""`vpp-deploy parity`: does an engine compute what PyTorch computes?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.json_file import keep_report, report_file
from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    bytes_of,
)
from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.files.outputs import check_places
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar, step_bar

if TYPE_CHECKING:
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines.protocols import Engine
    from vpp_deploy.media.input_file import InputFile
    from vpp_deploy.parity.locating.recording import Feed, Recording
    from vpp_deploy.parity.report_common import Report

EXAMPLES = (
    "vpp-deploy parity small.bundle --input street.mp4",
    "vpp-deploy parity small.bundle --input street.mp4 --json report.json",
    "vpp-deploy parity small.bundle --input street.mp4 --report report.html",
    "vpp-deploy parity small.bundle --input street.mp4 --task valid/",
    "vpp-deploy parity small.bundle --input street.mp4 --engine tensorrt --locate",
)
_FEEDS: Final = 6
"""Frames of which the one that differs most is looked into."""


def command(
    bundle: BundleArgument,
    source: Annotated[
        str,
        typer.Option(
            "--input",
            "--video",
            metavar="FILE",
            help="Video file, folder of images, (classifiers) image, or (tensors) .npz file.",
            show_default=False,
        ),
    ],
    frames: Annotated[
        int,
        typer.Option(metavar="N", help="Compare this many frames; of classifiers, images or clips.", min=1, max=MOST),
    ] = 30,
    engine: EngineOption = "onnxruntime",
    stream: StreamOption = None,
    max_pixels: MaxPixelsOption = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the full report as JSON.", show_default=False)
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Write it as an HTML page, with frames of the input.", show_default=False
        ),
    ] = None,
    locate: Annotated[
        bool,
        flag(
            "--locate",
            help="If the engine differs, find out where it begins to: parts of the graph are built and compared, down "
            "to one op.",
        ),
    ] = False,
    max_memory: MaxMemoryOption = None,
    task: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Compare the accuracy too, on this data set in YouTube-VIS layout (instance segmentation only).",
            show_default=False,
        ),
    ] = None,
    task_videos: Annotated[
        int, typer.Option(metavar="N", help="Only the first N videos of the data set.", min=1, max=MOST)
    ] = 20,
) -> None:
    """Run the same frames through PyTorch and an engine, compare every output and state, and note it in the bundle."""
    check_places(json, page)
    import torch  # noqa: F401 - without PyTorch, say so before anything else is done

    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import load_engine
    from vpp_deploy.media.input_file import InputFile
    from vpp_deploy.parity.report_common import store
    from vpp_deploy.tasks import TASKS, check_parity

    if page:
        from vpp_deploy.report.needs import require

        require()
    read = InputFile(source, stream=stream, max_pixels=max_pixels)
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    kind = TASKS[opened.manifest.task]
    if task and kind.prepare_accuracy is None:
        raise UsageError(f"--task {task}: {opened.manifest.model.name} finds no objects; leave the option out")
    outputs = [path for path in (json, page) if path]
    check_outputs(outputs, inputs=[source, bundle, *([task] if task else [])])
    add_accuracy = kind.prepare_accuracy(task, task_videos) if task and kind.prepare_accuracy else None
    loaded = load_engine(opened, engine)
    recording = _recording(opened, frames) if locate else None
    with report_file(json) as write, _page_file(page) as write_page:
        with frame_bar(kind.sample(opened.manifest)) as progress:
            report = check_parity(
                opened,
                loaded,
                read,
                frames=frames,
                reference=recording,
                progress=progress,
                interrupted=lambda so_far, error: keep_report(json, so_far.to_dict(), error),
            )
        if add_accuracy:
            report = add_accuracy(opened, loaded, report)
        console.show(kind.render(report))
        for note in read.notes:
            console.warn(note)
        identity = {"model": opened.manifest.model.name, "fingerprint": opened.manifest.fingerprint}
        begins = _located(opened, engine, recording.feeds) if recording and not report.passed else {}
        write(report.to_dict() | identity | begins)
        write_page(opened, loaded, read, report)
        try:
            store(opened, report)
        except OutputError as error:  # a bundle that can only be read; the verdict is the work
            console.warn(f"the summary is not kept in the bundle: {error}")
    report.raise_for_failure()


def _recording(bundle: Bundle, frames: int) -> Recording:
    from vpp_deploy.parity.locating.recording import Recording
    from vpp_deploy.tasks.engines import TORCH, open_engine

    return Recording(open_engine(bundle, TORCH), frames)


def _located(bundle: Bundle, engine: str, feeds: Sequence[Feed]) -> dict[str, Any]:
    """Says where the engine begins to differ; the same for JSON."""
    from vpp_deploy.parity.locating.search import locate

    few = feeds[:: max(1, len(feeds) // _FEEDS)]
    with step_bar("looking for where it begins to differ") as progress:
        found = locate(bundle, engine, few, lambda step: progress(step, 0.0))
    if found is None:
        console.say(
            "parts that are built anew compute the graph as it stands: build the engine again (--force); if it still "
            "differs, what differs from PyTorch was exported so"
        )
        return {"located": None}
    console.say(f"where it begins: {found} ({found.builds} parts built)")
    return {"located": asdict(found)}


@contextmanager
def _page_file(path: Path | None) -> Iterator[Callable[[Bundle, Engine, InputFile, Report], None]]:
    """A function that writes the page, if one was asked for; as `report_file`."""
    if path is None:
        yield lambda bundle, engine, source, report: None
        return
    from vpp_deploy.report.check import measured_by
    from vpp_deploy.report.page import PageFile

    with PageFile(path) as page:
        yield lambda bundle, engine, source, report: page.write(bundle, measured_by(report.to_dict(), engine, source))
