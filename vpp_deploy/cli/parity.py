"""`vpp-deploy parity`: does an engine compute what PyTorch computes?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    bytes_of,
)
from vpp_deploy.cli.report import keep_report, report_file
from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar

EXAMPLES = (
    "vpp-deploy parity small.bundle --input street.mp4",
    "vpp-deploy parity small.bundle --input street.mp4 --json report.json",
    "vpp-deploy parity small.bundle --input street.mp4 --task valid/",
)


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
    import torch  # noqa: F401 - without PyTorch, say so before anything else is done

    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import load_engine
    from vpp_deploy.media.input_file import InputFile
    from vpp_deploy.parity.report_common import store
    from vpp_deploy.tasks import TASKS, check_parity

    read = InputFile(source, stream=stream, max_pixels=max_pixels)
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    kind = TASKS[opened.manifest.task]
    if task and kind.prepare_accuracy is None:
        raise UsageError(f"--task {task}: {opened.manifest.model.name} finds no objects; leave the option out")
    check_outputs([json] if json else [], inputs=[source, bundle, *([task] if task else [])])
    add_accuracy = kind.prepare_accuracy(task, task_videos) if task and kind.prepare_accuracy else None
    loaded = load_engine(opened, engine)
    with report_file(json) as write:
        with frame_bar() as progress:
            report = check_parity(
                opened,
                loaded,
                read,
                frames=frames,
                progress=lambda done: progress(done, frames),
                interrupted=lambda so_far, error: keep_report(json, so_far.to_dict(), error),
            )
        if add_accuracy:
            report = add_accuracy(opened, loaded, report)
        console.show(kind.render(report))
        for note in read.notes:
            console.warn(note)
        write(report.to_dict())
        try:
            store(opened, report)
        except OutputError as error:  # a bundle that can only be read; the verdict is the work
            console.warn(f"the summary is not kept in the bundle: {error}")
    report.raise_for_failure()
