"""`vpp-deploy triton`: a bundle as models of a Triton repository."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import BundleArgument, EngineOption, MaxMemoryOption, bytes_of
from vpp_deploy.errors import UsageError
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.terminal import console

EXAMPLES = (
    "vpp-deploy triton small.bundle models",
    "vpp-deploy triton small.bundle models --snapshots /var/lib/vpp",
    "vpp-deploy triton small.bundle models --graphs onnxruntime",
)
_MOST = 1_000_000
_FOR_TASKS: Final = {
    "segmentation": ("workers", "max_streams", "max_waiting", "idle_seconds", "snapshots", "snapshot_every"),
    "classification": ("top",),
}
"""Options that one task's models alone have."""


def command(
    context: typer.Context,
    bundle: BundleArgument,
    repository: Annotated[
        Path, typer.Argument(metavar="REPOSITORY", help="Folder of models, made if there is none.", show_default=False)
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the model that clients ask.")] = "vpp",
    graphs: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="What runs the graphs: python (an engine in Triton's Python backend), or Triton's own backend "
            "onnxruntime or tensorrt (not run yet).",
        ),
    ] = "python",
    engine: EngineOption = "onnxruntime",
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of the engine a frame.", min=1, max=1024)] = 1,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Frames at once.", show_default="the processors", min=1, max=1024),
    ] = None,
    max_streams: Annotated[int, typer.Option(metavar="N", help="Streams at once.", min=1, max=_MOST)] = 64,
    max_waiting: Annotated[
        int, typer.Option(metavar="N", help="Frames of one stream that may wait.", min=1, max=_MOST)
    ] = 32,
    idle_seconds: Annotated[
        int, typer.Option(metavar="S", help="A stream for which nothing comes is closed.", min=1, max=_MOST)
    ] = 30,
    snapshots: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder on the server for snapshots, from which streams go on after a restart.",
            show_default="none",
        ),
    ] = None,
    snapshot_every: Annotated[int, typer.Option(metavar="N", help="Frames a snapshot.", min=1, max=_MOST)] = 1,
    top: Annotated[int, typer.Option(metavar="N", help="Labels of a classifier's result.", min=1, max=_MOST)] = 5,
    overwrite: Annotated[bool, flag("--overwrite", help="Replace models that this command wrote.")] = False,
    max_memory: MaxMemoryOption = None,
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server: videos as sequences, classifiers in batches."""
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.serving.triton.repository import GRAPHS, write_repository
    from vpp_deploy.serving.triton.settings import Settings
    from vpp_deploy.tasks import TASKS

    if graphs not in GRAPHS:
        raise UsageError(f"--graphs {graphs!r:.80}: choose from {', '.join(GRAPHS)}")
    opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
    given = [option for option in context.params if not _is_default(context, option)]
    model = opened.manifest.model.name
    for task, options in _FOR_TASKS.items():
        if task != opened.manifest.task:
            _refuse(given, options, f"for {TASKS[task].title} models, not for {model}; leave it out")
    if graphs != "python":
        _refuse(given, ("engine", "threads"), f"for --graphs python, not for {graphs}; leave it out")
    if snapshots is None:
        _refuse(given, ("snapshot_every",), "for --snapshots; give both, or leave it out")
    check_outputs([repository / name], inputs=[bundle])
    settings = Settings(
        engine=engine,
        threads=threads,
        workers=workers or 0,
        max_streams=max_streams,
        max_waiting=max_waiting,
        idle_seconds=idle_seconds,
        snapshots=snapshots or "",
        snapshot_every=snapshot_every,
    )
    written = write_repository(
        opened, repository, name=name, graphs=graphs, settings=settings, top=top, overwrite=overwrite
    )
    for path in written:
        console.say(f"{path}: written")
    console.next_command("tritonserver", f"--model-repository={repository}")


def _is_default(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is None or source.name == "DEFAULT"  # by its name: Typer may bring a Click of its own


def _refuse(given: Collection[str], options: Collection[str], why: str) -> None:
    if foreign := [f"--{option.replace('_', '-')}" for option in given if option in options]:
        raise UsageError(f"{', '.join(foreign)}: {why}")
