"""Times candidates side by side: in every round each one makes a call, in an order that is drawn anew."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

from vpp_deploy.benchmark.candidates import candidates
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.benchmark.report import BenchmarkReport, CandidateReport
from vpp_deploy.benchmark.start_up import start_up
from vpp_deploy.benchmark.statistics import ratio, summary
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks import TASKS
from vpp_deploy.tasks.workload import Workload

FEWEST_ROUNDS: Final = 5
"""Fewer say nothing about a spread."""
_WARM_UP: Final = 3
"""The init graph, the first step with a state, and one more."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it is done."""


def benchmark(
    bundles: Sequence[Bundle],
    *,
    engines: Sequence[str] = (),
    peers: Sequence[str] = (),
    source: str | os.PathLike[str] | None = None,
    rounds: int = 50,
    streams: int = 1,
    options: Mapping[str, Any] | None = None,
    measure_start_up: bool = True,
    progress: Progress = lambda what, done, total: None,
) -> BenchmarkReport:
    """Time engines and peers on the same data, alternating call by call in this process.

    Args:
        bundles: whose models run; the first one's first engine is what the others are compared with.
        engines: backends to compare; none takes every engine that a bundle has.
        peers: what else to compare, out of `PEERS`.
        source: data to run on, as `vpp_deploy.tasks` of the bundle takes it; None makes some up.
        rounds: calls of each candidate that are timed, after a warm-up.
        streams: more than 1: also that many sessions at once, each on a thread of its own.
        options: of loading engines, e.g. `{"threads": 1}`.
        measure_start_up: also start each candidate in a process of its own, for start-up time and memory.
        progress: see `Progress`.

    Raises:
        UsageError: see `candidates`; fewer than 5 rounds, or no stream.
        VideoError: the source cannot be read.
        VppDeployError: a candidate cannot be loaded.
    """
    if rounds < FEWEST_ROUNDS:
        raise UsageError(f"rounds is {rounds}; it takes at least {FEWEST_ROUNDS} to tell a difference from noise")
    if streams < 1:
        raise UsageError(f"streams is {streams}; there is at least 1")
    chosen = candidates(bundles, engines, peers, options or {})
    started = []
    for number, candidate in enumerate(chosen):
        progress("start-up", number, len(chosen))
        started.append(start_up(candidate, source) if measure_start_up else None)
    opened = []
    for number, candidate in enumerate(chosen):
        progress("loading", number, len(chosen))
        opened.append(candidate.open())
    workloads = [_workload(engine, source) for engine in opened]
    times, parts = alternate(workloads, rounds, lambda done: progress("timing", done, rounds))
    rates: list[float | None] = [None] * len(chosen)
    if streams > 1:
        for number, (candidate, engine) in enumerate(zip(chosen, opened, strict=True)):
            progress(f"{streams} streams", number, len(chosen))
            if candidate.takes_streams:
                rates[number] = concurrent_rate([_workload(engine, source) for _ in range(streams)], rounds)
    reports = [
        CandidateReport(
            bundle=candidate.called,
            engine=candidate.engine,
            unit=workload.unit,
            items=workload.items,
            latency=summary(times[number]),
            parts={part: summary(seconds) for part, seconds in parts[number].items()},
            ratio=ratio(times[number], times[0]) if number else None,
            start_up=started[number],
            concurrent_rate=rates[number],
            seconds=times[number],
            bundle_hash=candidate.bundle.manifest.bundle_hash,
        )
        for number, (candidate, workload) in enumerate(zip(chosen, workloads, strict=True))
    ]
    return BenchmarkReport(describe_machine(), str(source) if source else "synthetic", rounds, streams, reports)


def alternate(
    calls: Sequence[Callable[[], Mapping[str, float]]], rounds: int, progress: Callable[[int], None], seed: int = 0
) -> tuple[list[list[float]], list[dict[str, list[float]]]]:
    """Time calls in turn, in an order that chance draws for every round, so that none always follows the same other.

    Args:
        calls: what to time; each gives its seconds by part.
        rounds: how often, after a warm-up.
        progress: called with the number of rounds done.
        seed: of the order.

    Returns:
        Seconds of each call by round, and the same of its parts.
    """
    generator, order = random.Random(seed), list(range(len(calls)))
    times: list[list[float]] = [[] for _ in calls]
    parts: list[dict[str, list[float]]] = [{} for _ in calls]
    for done in range(-_WARM_UP, rounds):
        generator.shuffle(order)
        for number in order:
            start = perf_counter()
            told = calls[number]()
            seconds = perf_counter() - start
            if done >= 0:
                times[number].append(seconds)
                for part, share in told.items():
                    parts[number].setdefault(part, []).append(share)
        progress(max(0, done + 1))
    return times, parts


def _workload(engine: Engine, source: str | os.PathLike[str] | None) -> Workload:
    made: Workload = TASKS[engine.manifest.task].workload(engine, source)
    return made


def concurrent_rate(workloads: Sequence[Workload], rounds: int) -> float:
    """Items per second of workloads that run at once, each on a thread of its own.

    Args:
        workloads: sessions over one engine.
        rounds: calls of each one, after a warm-up.
    """
    together = threading.Barrier(len(workloads) + 1)

    def run(workload: Workload) -> None:
        try:
            for _ in range(_WARM_UP):
                workload()
        except BaseException:
            together.abort()  # nobody waits for one who will not come
            raise
        try:
            together.wait()
        except threading.BrokenBarrierError:
            return
        for _ in range(rounds):
            workload()

    with ThreadPoolExecutor(len(workloads)) as pool:
        running = [pool.submit(run, workload) for workload in workloads]
        with suppress(threading.BrokenBarrierError):  # the reason is in a future
            together.wait()
        start = perf_counter()
        for future in running:
            future.result()
        seconds = perf_counter() - start
    return sum(workload.items for workload in workloads) * rounds / seconds
