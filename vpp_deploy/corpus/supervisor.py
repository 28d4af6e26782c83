"""Hands out jobs, counts attempts, and replaces workers that have ended."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final

from vpp_deploy.corpus.crew import Crew, Event
from vpp_deploy.corpus.markers import MOST_ATTEMPTS
from vpp_deploy.corpus.plan import Job
from vpp_deploy.corpus.store import Store
from vpp_deploy.corpus.worker import Outcome
from vpp_deploy.errors import IncompatibleEngineError

_TICK: Final = 0.5
"""Seconds after which whoever watches is told, though nothing has happened."""
_MOST_EARLY_ENDS: Final = 3


@dataclass
class Tally:
    """How a run goes.

    Attributes:
        jobs: how many there are.
        done: how many have a result.
        bytes_done: of their sources.
        frames: of them.
        failed: why the others have none, by item.
        warnings: how many results each line is about.
        busy: what each worker runs, and since when on the monotonic clock.
    """

    jobs: int
    done: int = 0
    bytes_done: int = 0
    frames: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    busy: dict[int, tuple[Job, float]] = field(default_factory=dict)


def supervise(
    crew: Crew,
    jobs: Sequence[Job],
    workers: int,
    store: Store,
    facts: dict[str, Any],
    watch: Callable[[Tally], None] = lambda tally: None,
    failed: Callable[[str, str], None] = lambda name, reason: None,
) -> Tally:
    """Run all jobs. Whatever ends the call, the workers are ended too.

    A job whose worker ends, or that fails in a way that may pass, is tried again when all others have had their turn,
    `MOST_ATTEMPTS` times in all; failures are marked in the store.

    Args:
        crew: who works.
        jobs: in the order in which they are handed out.
        workers: how many at once, at most.
        store: gets the markers of failures.
        facts: of the run, for them.
        watch: called when something has happened, and twice a second.
        failed: called with an item's name and the reason when it has failed for good.

    Raises:
        IncompatibleEngineError: workers end while they load the engine.
        VppDeployError: a worker cannot work, or the store cannot be written to.
    """
    run = _Run(crew, jobs, store, facts, failed)
    try:
        for _ in range(min(workers, len(jobs))):
            crew.hire()
        while run.left:
            for event in crew.events(_TICK):
                run.take(event)
            watch(run.tally)
    finally:
        crew.dismiss()
    return run.tally


class _Run:
    def __init__(
        self, crew: Crew, jobs: Sequence[Job], store: Store, facts: dict[str, Any], failed: Callable[[str, str], None]
    ) -> None:
        self.tally = Tally(len(jobs))
        self._crew, self._store, self._facts, self._failed = crew, store, facts, failed
        self._queue = deque(jobs)
        self._ready: set[int] = set()
        self._idle: list[int] = []
        self._early_ends = 0

    @property
    def left(self) -> bool:
        return bool(self._queue or self.tally.busy)

    def take(self, event: Event) -> None:
        """What follows from an event."""
        if event.error is not None:
            raise event.error
        worker = event.worker
        job, _ = self.tally.busy.pop(worker, (None, 0.0))
        if event.ended is not None:
            if job is not None:
                self._fail(job, f"its worker ended {event.ended}", final=False)
            self._replace(worker, event.ended)
        else:
            self._early_ends = 0
            self._ready.add(worker)
            self._idle.append(worker)
            if job is not None and event.outcome is not None:
                self._finish(job, event.outcome)
        while self._idle and self._queue:
            self._hand_out(self._idle.pop(0), self._queue.popleft())

    def _hand_out(self, worker: int, job: Job) -> None:
        self.tally.busy[worker] = job, monotonic()
        self._crew.give(worker, job)

    def _replace(self, worker: int, how: str) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
        if worker not in self._ready:
            self._early_ends += 1
            if self._early_ends >= _MOST_EARLY_ENDS:
                raise IncompatibleEngineError(
                    f"workers end {how} while they load the engine; see that `vpp-deploy infer` runs it, build it "
                    "again, or give fewer --workers"
                )
        if self._queue:
            self._crew.hire()

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        if outcome.problem is not None:
            self._fail(job, outcome.problem, final=outcome.final)
            return
        if job.failures:
            self._store.delete(replace(job.marker, failures=job.failures).name)
        self.tally.done += 1
        self.tally.bytes_done += job.item.size
        self.tally.frames += outcome.frames
        self.tally.warnings.update(set(outcome.warnings))

    def _fail(self, job: Job, reason: str, *, final: bool) -> None:
        failures = MOST_ATTEMPTS if final else job.failures + 1
        marker = replace(job.marker, failures=failures)
        content = {"item": job.item.name, "run": self._facts, "failures": failures, "reason": reason}
        self._store.write(marker.name, json.dumps(content, indent=1).encode() + b"\n")
        for name in {*job.stale, replace(job.marker, failures=job.failures).name} - {marker.name}:
            self._store.delete(name)
        again = replace(job, failures=failures, stale=())
        if failures < MOST_ATTEMPTS:
            self._queue.append(again)
        else:
            self.tally.failed[job.item.name] = reason
            self._failed(job.item.name, reason)
