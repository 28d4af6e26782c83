"""`vpp-deploy infer`: from a video to tracked instances, from images or a video to labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    TimeoutOption,
    bytes_of,
)
from vpp_deploy.cli.record_options import Source, load_options_for, options_by_name, refuse_foreign, with_record_options
from vpp_deploy.engines import BACKENDS
from vpp_deploy.files.outputs import check_places
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST, make_options
from vpp_deploy.tasks import TASKS

EXAMPLES = (
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4 --json tracked.jsonl",
    "vpp-deploy infer small.bundle frames/ --youtube-vis results.json",
    "vpp-deploy infer small.bundle 'clips/*.mp4' -o tracked --json lines",
    "vpp-deploy infer small.bundle rtsp://camera/stream --end 60 -o minute.mp4",
    "vpp-deploy infer vit.bundle photos/ -o seen --json labels.jsonl --top 3",
)


def make_command() -> Callable[..., None]:
    """The command, with what every backend can be loaded with and the options of every task."""
    backends = [Source(record.name, record.name, "Options", record.load_options) for record in BACKENDS.values()]
    tasks = [
        Source(task.name, f"{task.title} models", f"Bundles for {task.title}", task.run_options)
        for task in TASKS.values()
    ]
    loading, running = options_by_name(backends), options_by_name(tasks)

    def command(
        bundle: BundleArgument,
        source: Annotated[
            list[str],
            typer.Argument(
                metavar="INPUT",
                help="Video, image, folder of images, rtsp:// or http:// address, number of a camera, - for what is "
                "piped in; a pattern in quotes, or a .txt list with one a line. Each is a stream of its own.",
                show_default=False,
            ),
        ],
        out: Annotated[
            Path | None,
            typer.Option(
                "-o",
                "--output",
                metavar="PATH",
                help="Overlay: a video (.mp4, .mov, .mkv), a picture (.png, .jpg, …), or, without extension, a folder "
                "of pictures. Features, tensors: .npz. Of several inputs: a folder, as for --json.",
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
        max_memory: MaxMemoryOption = None,
        max_frames: Annotated[
            int | None,
            typer.Option(metavar="N", help="Stop after N frames or images.", show_default="all", min=1, max=MOST),
        ] = None,
        start: Annotated[
            str | None,
            typer.Option(
                metavar="TIME", help="Begin there: seconds or [HH:]MM:SS from the first frame.", show_default=False
            ),
        ] = None,
        end: Annotated[str | None, typer.Option(metavar="TIME", help="Stop before there.", show_default=False)] = None,
        every: Annotated[
            int | None, typer.Option(metavar="N", help="Take the first of N frames.", show_default="1", min=1, max=MOST)
        ] = None,
        show: Annotated[
            bool, flag("--show", help="Show the overlay in a window while it is made; q ends the run.")
        ] = False,
        timeout: TimeoutOption = None,
        stream: StreamOption = None,
        max_pixels: MaxPixelsOption = None,
        *,
        given: Mapping[str, Any],
    ) -> None:
        load_options = load_options_for(engine, given, loading)
        from vpp_deploy.bundle import Bundle
        from vpp_deploy.cli.infer_jobs import Job, plan_jobs
        from vpp_deploy.engines import load_engine
        from vpp_deploy.files.outputs import make_folder
        from vpp_deploy.media.input_file import InputFile
        from vpp_deploy.media.inputs import find_inputs
        from vpp_deploy.media.selection import parse_time
        from vpp_deploy.tasks.task import RunRequest
        from vpp_deploy.terminal import console

        reading: dict[str, Any] = {
            "stream": stream,
            "max_pixels": max_pixels,
            "start": start and parse_time(start),
            "end": end and parse_time(end),
            "every": every,
            "timeout": timeout,
        }
        inputs = find_inputs(source)
        others = {name: path for name, path in given.items() if name in running and isinstance(path, Path)}
        check_places(out, json, *others.values())
        opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
        task, model = TASKS[opened.manifest.task], opened.manifest.model.name
        run_options = {name: value for name, value in given.items() if name in running}
        refuse_foreign(run_options, tasks, task.name, model, task.unused(opened.manifest))
        wanted = Job(InputFile(inputs.locations[0], **reading), out, json, others)
        jobs = plan_jobs(inputs, wanted, reading, task.suffixes, together=task.together(opened.manifest))
        check_outputs([path for job in jobs for path in job.paths], inputs=[*source, *inputs.locations, bundle])
        options: list[Any] = [make_options(task.run_options, {**run_options, **job.others}, model) for job in jobs]
        loaded = load_engine(opened, engine, **load_options)
        if jobs[0].paths != wanted.paths:
            for folder in wanted.paths:
                make_folder(folder, "folder for outputs of several inputs", parents=False)
        for number, (job, own) in enumerate(zip(jobs, options, strict=True)):
            try:
                task.run(loaded, RunRequest(job.read, job.output, job.json, max_frames, show), own)
            except BaseException as error:
                if len(jobs) > 1:
                    error.add_note(f"done before it: {number} of {len(jobs)} inputs")
                raise
            for note in job.read.notes:
                console.warn(note)
        if opened.manifest.provenance.weights.kind == "random":
            console.warn(f"the bundle's weights are random and untrained: {task.results(opened.manifest)} mean nothing")

    command.__doc__ = (
        "Run a bundle's engine over a video or images; without an output, just report how it went and what was found."
    )
    return with_record_options(command, [*backends, *tasks])
