"""`vpp-deploy infer`: from a video to tracked instances, from images or a video to labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    bytes_of,
)
from vpp_deploy.cli.record_options import Source, options_by_name, refuse_foreign, with_record_options
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST, make_options
from vpp_deploy.tasks import TASKS

EXAMPLES = (
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4 --json tracked.jsonl",
    "vpp-deploy infer small.bundle frames/ --youtube-vis results.json",
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
            str, typer.Argument(metavar="INPUT", help="Video file, image, or folder of images.", show_default=False)
        ],
        out: Annotated[
            Path | None,
            typer.Option(
                "-o",
                "--output",
                metavar="PATH",
                help="Video with overlay: .mp4, .mov or .mkv. Classification: or, without extension, a folder of "
                "pictures. Tensors: .npz.",
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
        stream: StreamOption = None,
        max_pixels: MaxPixelsOption = None,
        *,
        given: Mapping[str, Any],
    ) -> None:
        load_options = {name: value for name, value in given.items() if name in loading}
        for name in load_options:
            declared, owners = loading[name]
            if all(owner.name != engine for owner in owners):
                meant_for = " and ".join(owner.name for owner in owners)
                raise UsageError(f"{declared.flag} is for {meant_for}, not for {engine}; leave it out")
        from vpp_deploy.bundle import Bundle
        from vpp_deploy.engines import load_engine
        from vpp_deploy.media.input_file import InputFile
        from vpp_deploy.tasks.task import RunRequest
        from vpp_deploy.terminal import console

        read = InputFile(source, stream=stream, max_pixels=max_pixels)
        opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
        task, model = TASKS[opened.manifest.task], opened.manifest.model.name
        run_options = {name: value for name, value in given.items() if name in running}
        outputs = [out, json, *run_options.values()]
        check_outputs([path for path in outputs if isinstance(path, Path)], inputs=[source, bundle])
        refuse_foreign(run_options, tasks, task.name, model)
        options: Any = make_options(task.run_options, run_options, model)
        loaded = load_engine(opened, engine, **load_options)
        task.run(loaded, RunRequest(read, out, json, max_frames), options)
        for note in read.notes:
            console.warn(note)

    command.__doc__ = (
        "Run a bundle's engine over a video or images; without an output, just report how it went and what was found."
    )
    return with_record_options(command, [*backends, *tasks])
