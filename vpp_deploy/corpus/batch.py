"""A corpus through a bundle, from what there is to the views of all results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.manifest import Manifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.corpus import TASKS_WITH_LINES
from vpp_deploy.corpus.crew import Crew
from vpp_deploy.corpus.items import Item, make_items, no_items
from vpp_deploy.corpus.markers import Marker, run_facts
from vpp_deploy.corpus.plan import Plan, make_plan
from vpp_deploy.corpus.processes import Processes
from vpp_deploy.corpus.ray_actors import RayActors
from vpp_deploy.corpus.sources import find_files
from vpp_deploy.corpus.store import Store
from vpp_deploy.corpus.supervisor import Tally, supervise
from vpp_deploy.corpus.table import TABLE, check_table, update_table
from vpp_deploy.corpus.worker import Setup
from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.files.outputs import OutputFile


@dataclass(frozen=True)
class Views:
    """What is made of all results at the end.

    Attributes:
        table: a Parquet table in the store.
        submission: YouTube-VIS submission of a segmentation model; None for none.
        annotations: of the data set that it is for; None numbers videos from 1.
    """

    table: bool = True
    submission: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Batch:
    """A corpus that has been looked at, and what is to become of it.

    Attributes:
        bundle: open.
        setup: of the workers, but for the scratch folder.
        store: of the results.
        items: of the corpus.
        plan: what is left.
        views: what is made of all results.
        numbers: the `video_id` of each item in the submission, by name.
        note: what of the corpus was left out, or None.
    """

    bundle: Bundle
    setup: Setup
    store: Store
    items: tuple[Item, ...]
    plan: Plan
    views: Views
    numbers: Mapping[str, int]
    note: str | None


def open_batch(
    bundle: Bundle,
    corpus: str,
    store: Store,
    setup: Setup,
    options: dict[str, Any],
    views: Views,
    *,
    shard: int,
    retry_failed: bool,
) -> Batch:
    """Look at a corpus and at what the store has of it. Nothing is written.

    Args:
        bundle: whose engine will run.
        corpus: see `find_files`.
        store: of the results.
        setup: of the workers; `facts` are filled in here.
        options: of the task that change results, as JSON values.
        views: what is to be made of all results.
        shard: the most images that are one task, for a classifier of images.
        retry_failed: try again what has failed as often as is tried.

    Raises:
        UsageError: the bundle's task gives no lines; overlays are wanted of images that are no video.
        VideoError: the corpus cannot be read, or has nothing to run in it.
        IncompatibleEngineError: see `run_facts`.
        OutputError: the store cannot be read.
        DatasetError: see `video_numbers`.
        DependencyError: something that a URL needs is not installed.
    """
    manifest = bundle.manifest
    if manifest.task not in TASKS_WITH_LINES:
        raise UsageError(
            f"{bundle.path}: models for {manifest.task} give arrays, which `vpp-deploy infer` writes; batch is for "
            f"{' and '.join(TASKS_WITH_LINES)}"
        )
    reading = {
        "max_frames": setup.max_frames,
        "stream": setup.stream,
        "max_pixels": setup.max_pixels,
        "kept": setup.kept,
        "overlays": setup.overlays,
    }
    facts = run_facts(bundle, setup.backend, {**options, **reading})
    items, note = make_items(find_files(corpus), None if _takes_videos(manifest) else shard)
    if not items:
        raise no_items(corpus, note)
    if setup.overlays and not _takes_videos(manifest) and (pictures := [one.name for one in items if one.pictures]):
        raise UsageError(
            f"--overlays are videos, and {pictures[0]!r:.200} are images; use `vpp-deploy infer -o FOLDER`"
        )
    plan = make_plan(items, store, facts, retry_failed=retry_failed)
    numbers: Mapping[str, int] = {}
    if views.submission:
        from vpp_deploy.corpus.submission import video_numbers  # here: it takes a third of the time to start

        numbers = video_numbers(items, views.annotations)
    return Batch(bundle, replace(setup, facts=facts), store, tuple(items), plan, views, numbers, note)


def _takes_videos(manifest: Manifest) -> bool:
    return not isinstance(manifest, ClassificationManifest) or manifest.clip is not None


def run_batch(
    batch: Batch,
    *,
    workers: int,
    ray: str | None = None,
    watch: Callable[[Tally], None] = lambda tally: None,
    failed: Callable[[str, str], None] = lambda name, reason: None,
) -> tuple[Tally, Sequence[str]]:
    """Do what is left, and bring the views up to date.

    Args:
        batch: see `open_batch`.
        workers: how many at once.
        ray: address of a Ray cluster whose actors work; None for processes of this machine.
        watch: see `supervise`.
        failed: see `supervise`.

    Returns:
        How it went, and the names of the views.

    Raises:
        OutputError: the store or the submission cannot be written to.
        VppDeployError: see `supervise`.
    """
    views, made = batch.views, []
    with ExitStack() as stack:
        submission = None
        if views.submission:  # opened first: one that cannot be written is known before the work
            submission = OutputFile(views.submission)
            stack.callback(submission.discard)
        batch.store.prepare()
        stack.enter_context(batch.store.alone())
        batch.store.check(_names(batch))
        if views.table:
            check_table(batch.store)
        scratch = stack.enter_context(batch.store.scratch())
        tally = Tally(0)
        if batch.plan.jobs:
            setup = replace(batch.setup, scratch=scratch)
            crew: Crew = Processes(setup) if ray is None else RayActors(setup, ray)
            tally = supervise(crew, batch.plan.jobs, workers, batch.store, setup.facts, watch, failed)
        done = _all_done(batch) if views.table or submission else ()
        if views.table:
            update_table(batch.store, done, batch.bundle.manifest.task, scratch)
            made.append(f"{batch.store}/{TABLE}")
        if submission:
            from vpp_deploy.corpus.submission import write_submission

            write_submission(submission, batch.store, done, batch.numbers)
            made.append(str(views.submission))
    return tally, made


def _names(batch: Batch) -> Iterator[str]:
    """What is to be written into the store."""
    for job in batch.plan.jobs:
        yield job.result
        if batch.setup.overlays:
            yield job.overlay
    if batch.views.table:
        yield TABLE


def _all_done(batch: Batch) -> Sequence[tuple[Item, Marker]]:
    """What views are made of: after the work, all but what has failed.

    Raises:
        OutputError: something has gone meanwhile.
    """
    if not batch.plan.jobs:
        return batch.plan.done
    plan = make_plan(batch.items, batch.store, batch.setup.facts, retry_failed=False)
    if plan.jobs:
        job = plan.jobs[0]
        raise OutputError(
            f"{batch.store}: somebody else writes here: {job.item.name!r:.200} was done, and now {job.why}; run the "
            "same command again"
        )
    return plan.done
