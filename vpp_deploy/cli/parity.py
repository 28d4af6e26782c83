"""`vpp-deploy parity`: does an engine compute what PyTorch computes?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption
from vpp_deploy.cli.progress import frame_bar, video_bar
from vpp_deploy.cli.report import report_file
from vpp_deploy.errors import UsageError

EXAMPLES = (
    "vpp-deploy parity small.bundle --video street.mp4",
    "vpp-deploy parity small.bundle --video street.mp4 --json report.json",
    "vpp-deploy parity small.bundle --video street.mp4 --task valid/",
)


def command(
    bundle: BundleArgument,
    video: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Video file, folder of images, or (classifiers) image.", show_default=False),
    ],
    frames: Annotated[
        int, typer.Option(metavar="N", help="Compare this many frames; of classifiers, images or clips.", min=1)
    ] = 30,
    engine: EngineOption = "onnxruntime",
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the full report as JSON.", show_default=False)
    ] = None,
    task: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Compare the accuracy too, on this data set in YouTube-VIS layout (not for classifiers).",
            show_default=False,
        ),
    ] = None,
    task_videos: Annotated[int, typer.Option(metavar="N", help="Only the first N videos of the data set.", min=1)] = 20,
) -> None:
    """Run the same frames through PyTorch and an engine, compare every output and state, and note it in the bundle."""
    import vpp_deploy.models.reference  # noqa: F401 - without PyTorch, say so before anything else is done
    from vpp_deploy.bundle import Bundle, PaprManifest
    from vpp_deploy.engines import load_engine
    from vpp_deploy.evaluation import open_dataset
    from vpp_deploy.evaluation.metrics import import_trackeval
    from vpp_deploy.parity import (
        ClassificationParity,
        ParityReport,
        check_classification,
        check_parity,
        check_task,
        render,
        render_classification,
        store,
    )

    opened = Bundle.open(bundle)
    classifier = isinstance(opened.manifest, PaprManifest)
    if task and classifier:
        raise UsageError(f"--task {task}: {opened.manifest.model.name} finds no objects; leave the option out")
    if task:
        import_trackeval()
    dataset = open_dataset(task, videos=task_videos) if task else None
    loaded = load_engine(opened, engine)
    with report_file(json) as write:
        report: ParityReport | ClassificationParity
        with frame_bar() as progress:
            compare = check_classification if classifier else check_parity
            report = compare(opened, loaded, video, frames=frames, progress=lambda done: progress(done, frames))
        if dataset and isinstance(report, ParityReport):
            with video_bar() as videos_progress:
                report = replace(report, task=check_task(opened, loaded, dataset, progress=videos_progress))
        console.show(render(report) if isinstance(report, ParityReport) else render_classification(report))
        write(report.to_dict())
        store(opened, report)
    report.raise_for_failure()
