"""`vpp-deploy batch`: from a corpus to results of every video, and to one table of all."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import (
    BundleArgument,
    EngineOption,
    MaxMemoryOption,
    MaxPixelsOption,
    StreamOption,
    bytes_of,
)
from vpp_deploy.cli.record_options import Source, load_options_for, options_by_name, refuse_foreign, with_record_options
from vpp_deploy.corpus import TASKS_WITH_LINES
from vpp_deploy.corpus.locations import fixed_part, is_url
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.machine import available_processors
from vpp_deploy.options import MOST, make_options, options_of
from vpp_deploy.tasks import TASKS
from vpp_deploy.terminal import console

EXAMPLES = (
    "vpp-deploy batch small.bundle videos/ -o results",
    "vpp-deploy batch small.bundle s3://clips/2026 -o s3://results/2026",
    "vpp-deploy batch vit.bundle photos/ -o labels --dry-run",
)
_SCENE_CUTS: Final = ("auto", "off")
_MOST_WORKERS: Final = 4096


def make_command() -> Callable[..., None]:
    """The command, with what every backend can be loaded with and the options of the tasks that give lines."""
    backends = [Source(record.name, record.name, "Options", record.load_options) for record in BACKENDS.values()]
    tasks = [
        Source(task.name, f"{task.title} models", f"Bundles for {task.title}", task.run_options)
        for task in (TASKS[name] for name in TASKS_WITH_LINES)
    ]
    loading, running = options_by_name(backends), options_by_name(tasks)

    def command(
        bundle: BundleArgument,
        corpus: Annotated[
            str,
            typer.Argument(
                metavar="CORPUS",
                help="Folder (and the folders in it), pattern in quotes, list file (.txt, one path or URL a line), or "
                "one of these as a URL that fsspec knows.",
                show_default=False,
            ),
        ],
        out: Annotated[
            str,
            typer.Option("-o", "--output", metavar="PLACE", help="Folder or URL for the results.", show_default=False),
        ],
        workers: Annotated[
            int | None,
            typer.Option(
                metavar="N",
                help="Videos at once; each in a process of its own.",
                show_default="as many as processors; on a GPU 1",
                min=1,
                max=_MOST_WORKERS,
            ),
        ] = None,
        ray: Annotated[
            str | None,
            typer.Option(
                metavar="ADDRESS",
                help="Actors of this Ray cluster instead of processes; `auto` finds one here.",
                show_default=False,
            ),
        ] = None,
        dry_run: Annotated[bool, flag("--dry-run", help="Only say what would be done.")] = False,
        retry_failed: Annotated[bool, flag("--retry-failed", help="Try again what has failed.")] = False,
        overlays: Annotated[bool, flag("--overlays", help="Also a video with overlay of each.")] = False,
        no_kept: Annotated[
            bool, flag("--no-kept", help="Leave out which tokens were kept: most of a line of JSON.")
        ] = False,
        no_parquet: Annotated[bool, flag("--no-parquet", help="Make no table of all results.")] = False,
        annotations: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Annotation file whose numbers of videos --youtube-vis has.",
                show_default="counted from 1",
            ),
        ] = None,
        shard: Annotated[
            int,
            typer.Option(metavar="N", help="Images that a classifier of images takes as one task.", min=1, max=MOST),
        ] = 256,
        engine: EngineOption = "onnxruntime",
        max_memory: MaxMemoryOption = None,
        max_frames: Annotated[
            int | None,
            typer.Option(metavar="N", help="Of each video, the first N frames.", show_default="all", min=1, max=MOST),
        ] = None,
        stream: StreamOption = None,
        max_pixels: MaxPixelsOption = None,
        *,
        given: Mapping[str, Any],
    ) -> None:
        load_options = load_options_for(engine, given, loading)
        from vpp_deploy.bundle import Bundle
        from vpp_deploy.cli.batch_report import say_outcome, say_plan
        from vpp_deploy.corpus.batch import Views, open_batch, run_batch
        from vpp_deploy.corpus.display import live_table
        from vpp_deploy.corpus.store import open_store
        from vpp_deploy.corpus.table import check_pyarrow
        from vpp_deploy.corpus.worker import Setup

        opened = Bundle.open(bundle, max_memory=bytes_of(max_memory))
        task, model = TASKS[opened.manifest.task], opened.manifest.model.name
        run_options = {name: value for name, value in given.items() if name in running}
        refuse_foreign(run_options, tasks, task.name, model, task.unused(opened.manifest))
        submission = run_options.pop("youtube_vis", None)
        if annotations is not None and submission is None:
            raise UsageError("--annotations are for --youtube-vis; give both, or leave it out")
        if run_options.get("scene_cuts") not in (None, *_SCENE_CUTS):
            raise UsageError("--scene-cuts: a file is about one video; for a corpus give auto or off")
        check_places(corpus, out, bundle, submission)
        if not (no_parquet or dry_run):
            check_pyarrow()
        backend = BACKENDS.find(engine, "engine")
        if any(option.name == "threads" for option in options_of(backend.load_options)):
            load_options.setdefault("threads", 1)  # more cost more processor time than they gain
        setup = Setup(
            bundle=bundle.absolute(),
            backend=engine,
            load_options=load_options,
            run_options=make_options(task.run_options, run_options, model),
            facts={},
            out=out,
            scratch=Path(),
            max_memory=bytes_of(max_memory),
            max_frames=max_frames,
            stream=stream,
            max_pixels=max_pixels,
            kept=not no_kept,
            overlays=overlays,
        )
        views = Views(not no_parquet, submission, annotations)
        batch = open_batch(
            opened, corpus, open_store(out), setup, run_options, views, shard=shard, retry_failed=retry_failed
        )
        if submission is not None:
            here = [file.location for item in batch.items for file in item.files if not is_url(file.location)]
            check_outputs([submission], inputs=here)
        say_plan(batch, dry_run=dry_run)
        if dry_run:
            if batch.plan.failed:
                raise typer.Exit(1)
            return
        begin = monotonic()
        with live_table(len(batch.plan.jobs), sum(job.item.size for job in batch.plan.jobs)) as watch:
            tally, made = run_batch(
                batch,
                workers=workers or (1 if backend.runs_on == "gpu" else available_processors()),
                ray=ray,
                watch=watch,
                failed=lambda name, reason: console.warn(f"{name}: {reason}"),
            )
        say_outcome(batch, tally, made, monotonic() - begin)
        if tally.done and opened.manifest.provenance.weights.kind == "random":
            console.warn(f"the bundle's weights are random and untrained: {task.results(opened.manifest)} mean nothing")
        if tally.failed or batch.plan.failed:
            raise typer.Exit(1)

    command.__doc__ = (
        "Run a bundle over a corpus, video by video; the same command again goes on from there. Exit status 1 if any "
        "failed."
    )
    return with_record_options(command, [*backends, *tasks])


def check_places(corpus: str, out: str, bundle: Path, submission: Path | None) -> None:
    """See that no result goes where the corpus or the bundle is read, nor the corpus's results into the submission.

    Raises:
        UsageError: one would.
        OutputError: see `check_outputs`.
    """
    is_pattern = glob.has_magic(corpus) and not os.path.exists(corpus)
    root = fixed_part(corpus) if is_pattern else corpus
    outputs = [] if submission is None else [submission]
    if not is_url(out):
        outputs.append(Path(out))
    read = [] if is_url(corpus) else [root or "."]
    if is_pattern and not is_url(corpus) and "**" not in corpus:  # what it finds, and not what lies beside it
        read = glob.glob(corpus)
    check_outputs(outputs, inputs=[bundle, *read])
    if is_url(corpus) and f"{out.rstrip('/')}/".startswith(f"{root.rstrip('/')}/"):
        raise UsageError(f"output {out} lies in {root}, which is read; write it somewhere else")
