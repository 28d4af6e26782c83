"""Many streams in one process: what an idle one holds, whether they hear each other, whether turns are fair, a soak.

    python -m benchmarks.pool micro.bundle --idle demo.bundle --json pool.json

- Idle: memory of this process for each stream that has run and waits, beside the bytes of its snapshot.
- Bits: films of their own, interleaved by chance, against a session for each film.
- Turns: every other stream keeps a backlog, the others give a frame when they have the result of the one before.
- Soak: clients that start, end, forget and break their streams, by chance; memory, threads and open files in between.

Exit status 1 if one of these is not as it should be.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import json
import logging
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import vpp_deploy as vd
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.errors import CapacityError, EngineOutputError, StreamError, UsageError
from vpp_deploy.machine import available_processors

Frame = npt.NDArray[np.uint8]
MOST_SPREAD: Final = 0.10
"""Of frames that streams get, as a share of their mean."""
MOST_GROWTH: Final = 4 << 20
"""Bytes from the first tenth of the soak to its end: an object of one kilobyte a frame would show."""
OBJECTS: Final = 32 << 10
"""Bytes of a session's Python objects, which no snapshot has."""
IDLE_SECONDS: Final = 0.5
_PATIENCE: Final = 120.0
_ARENA_MAX: Final = -8
"""Of glibc's `mallopt`: how many arenas there may be."""


@dataclass(frozen=True)
class Usage:
    """What this process holds: bytes of memory, open files and threads."""

    memory: int
    files: int
    threads: int

    @classmethod
    def now(cls) -> Usage:
        """Without what is free already, and only waits to be given back."""
        gc.collect()
        with suppress(OSError, AttributeError):  # another C library keeps what it likes
            ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        )


def film(model: Any, length: int, seed: int) -> list[Frame]:
    """Frames of noise that moves a little, at the model's size."""
    first = np.random.default_rng(seed).integers(0, 256, (*model.frame_size, 3), np.uint8)
    return [np.roll(first, 3 * number, axis=1) for number in range(length)]


def bits(result: Any) -> str:
    """A hash of everything in a frame's result."""
    found, instances = hashlib.sha256(), result.instances
    arrays = (instances.masks, instances.scores, instances.boxes, instances.labels, instances.identities)
    for array in (*arrays, *result.kept.values()):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def idle(model: Any, streams: int, length: int = 3) -> dict[str, Any]:
    """Bytes of this process for each stream that waits, and those of its snapshot.

    Counted from the first eighth of the streams on: until then the engine takes the blocks in which frames are run.
    """
    frames, names = film(model, length, 0), [f"stream {number}" for number in range(streams)]
    held: list[int] = []
    with vd.SessionPool(model, max_streams=streams) as pool:
        for first in range(0, streams, streams // 8):
            _run(pool, names[first : first + streams // 8], frames)
            held.append(Usage.now().memory)
        sizes = [len(pool.snapshot(name).result(_PATIENCE).to_bytes()) for name in names]
    return {
        "streams": streams,
        "bytes_a_stream": round((held[-1] - held[0]) / (streams - streams // 8)),
        "snapshot_bytes": round(sum(sizes) / streams),
    }


def _run(pool: vd.SessionPool, names: Sequence[str], frames: Sequence[Frame]) -> None:
    for index, frame in enumerate(frames):
        for future in [pool.submit(name, frame, start=index == 0) for name in names]:
            future.result(_PATIENCE)


def crosstalk(model: Any, streams: int, length: int, seed: int = 0) -> dict[str, int]:
    """How many streams, interleaved by chance, do not have the bits of a session of their own."""
    films = {f"stream {number}": film(model, length, 1 + number) for number in range(streams)}
    order = random.Random(seed).sample([name for name in films for _ in range(length)], streams * length)
    given: dict[str, list[Future[Any]]] = {name: [] for name in films}
    with vd.SessionPool(model, max_streams=streams, max_waiting=length) as pool:
        for name in order:
            number = len(given[name])
            given[name].append(pool.submit(name, films[name][number], start=number == 0))
        together = {name: [bits(future.result(_PATIENCE)) for future in futures] for name, futures in given.items()}

    def alone(frames: Sequence[Frame]) -> list[str]:
        session = model.session()
        return [bits(session(frame)) for frame in frames]

    with ThreadPoolExecutor(available_processors()) as workers:
        expected = dict(zip(films, workers.map(alone, films.values()), strict=True))
    return {
        "streams": streams,
        "frames": streams * length,
        "films_that_differ": len({tuple(found) for found in expected.values()}),
        "streams_with_other_bits": sum(together[name] != expected[name] for name in films),
    }


def fairness(model: Any, streams: int, frames_each: int) -> dict[str, float]:
    """Frames that each stream got by the time at which all together had theirs."""
    frame, counts, wanted = film(model, 1, 0)[0], Counter[str](), streams * frames_each
    lock, enough = threading.Lock(), threading.Event()
    with vd.SessionPool(model, max_streams=streams) as pool:

        def give(name: str, *, start: bool = False) -> None:
            pool.submit(name, frame, start=start).add_done_callback(lambda future: take(name, future))

        def take(name: str, future: Future[Any]) -> None:
            if future.cancelled():
                return
            with lock:
                if sum(counts.values()) == wanted:
                    return
                counts[name] += 1
                if sum(counts.values()) == wanted:
                    enough.set()
                    return
            give(name)

        for number in range(streams):
            give(f"stream {number}", start=True)
            for _ in range(6 if number % 2 else 0):
                give(f"stream {number}")
        enough.wait()
        pool.close(drain=False)
    found = [counts[f"stream {number}"] for number in range(streams)]
    mean = sum(found) / streams
    return {"streams": streams, "fewest": min(found), "most": max(found), "spread": (max(found) - min(found)) / mean}


class Fragile:
    """A model whose sessions break now and then, as an engine does that gives NaN."""

    def __init__(self, model: Any, chance: random.Random, often: float = 0.01) -> None:
        self.model, self.chance, self.often = model, chance, often

    def session(self) -> Any:
        """A session of the model's, that breaks."""
        stream, inner = self.model.session(), self

        class Session:
            snapshot, restore = stream.snapshot, stream.restore

            def __call__(self, frame: Any) -> Any:
                if inner.chance.random() < inner.often:
                    raise EngineOutputError("NaN, as it happens")
                return stream(frame)

        return Session()


class Client:
    """Whoever has a stream of a pool, and neither uses it well nor always.

    Attributes:
        happened: how often, by what.

    Args:
        pool: with `IDLE_SECONDS`.
        name: of the stream.
        frames: that it sends, again and again.
        seed: of what it does.
    """

    def __init__(self, pool: vd.SessionPool, name: str, frames: Sequence[Frame], seed: int) -> None:
        self.happened: Counter[str] = Counter()
        self._pool, self._name, self._frames = pool, name, frames
        self._chance = random.Random(seed)
        self._number = 0
        self._saved: Any = None
        self._given: deque[Future[Any]] = deque()

    def act(self) -> None:
        """Do something."""
        chance = self._chance.random()
        try:
            if chance < 0.01:
                time.sleep(2.5 * IDLE_SECONDS)
                self.happened["silent for longer than the idle time-out"] += 1
            elif chance < 0.03:
                self._pool.end(self._name)
                self.happened["ended"] += 1
            elif chance < 0.05:
                self._saved = self._pool.snapshot(self._name).result(_PATIENCE).to_bytes()
                self.happened["snapshot"] += 1
            elif chance < 0.08:
                self._start(self._saved if self._chance.random() < 0.5 else None)
            elif chance < 0.12:
                self._put(self._pool.submit(self._name, self._frame()[..., :2], number=self._number + 1))
            elif chance < 0.15:
                number = self._number + self._chance.choice((-1, 0, 2))
                self._put(self._pool.submit(self._name, self._frame(), number=number))
            elif chance < 0.20:
                for _ in range(4):
                    self._put(self._pool.offer(self._name, self._frame()))
            elif chance < 0.22:
                self.happened["cancelled"] += self._pool.submit(self._name, self._frame()).cancel()
            elif chance < 0.24:
                self._next(end=True)
            elif chance < 0.27:
                for _ in range(12):
                    self._next(timeout=0.01)
            else:
                self._next()
        except CapacityError:
            self.happened["no room in time"] += 1
        except CancelledError:
            self.happened["no snapshot: its stream ended"] += 1
        except StreamError:
            self.happened["no such stream"] += 1
            self._start(None)
        while len(self._given) > 4:
            self._take(self._given.popleft())

    def finish(self) -> None:
        """Wait for everything that was given."""
        while self._given:
            self._take(self._given.popleft())

    def _frame(self) -> Frame:
        return self._chance.choice(self._frames)

    def _start(self, state: Any) -> None:
        self._number = 0
        self._put(self._pool.submit(self._name, self._frame(), start=True, number=0, state=state))
        self.happened["started from a snapshot" if state else "started"] += 1

    def _next(self, **more: Any) -> None:
        self._put(self._pool.submit(self._name, self._frame(), number=self._number + 1, **more))
        self._number += 1

    def _put(self, future: Future[Any]) -> None:
        self._given.append(future)

    def _take(self, future: Future[Any]) -> None:
        try:
            future.result(_PATIENCE)
            self.happened["result"] += 1
        except CancelledError:
            self.happened["dropped, or its stream ended"] += 1
        except (StreamError, EngineOutputError, UsageError) as error:
            self.happened[type(error).__name__] += 1


def soak(
    model: Any, streams: int, frames: int, tell: Callable[[int, Usage], None] = lambda done, usage: None
) -> dict[str, Any]:
    """Frames with a result or an error, and what this process held after each tenth of them, while nobody asked."""
    usages, begin = [], time.monotonic()
    before = threading.active_count()
    with vd.SessionPool(
        Fragile(model, random.Random(0)), max_streams=streams, max_waiting=4, idle_seconds=IDLE_SECONDS
    ) as pool:
        clients = [Client(pool, f"stream {seed}", film(model, 8, seed), seed) for seed in range(streams)]

        def work(client: Client, until: int) -> None:
            while (now := pool.statistics).done + now.failed < until:
                client.act()
            client.finish()

        for tenth in range(1, 11):
            with ThreadPoolExecutor(streams) as users:
                for future in [users.submit(work, client, frames * tenth // 10) for client in clients]:
                    future.result()
            usages.append(Usage.now())
            tell(tenth * frames // 10, usages[-1])
        found = pool.statistics
    happened = sum((client.happened for client in clients), Counter[str]())
    return {
        "streams": streams,
        "frames": found.done + found.failed,
        "seconds": round(time.monotonic() - begin, 1),
        "statistics": {name: getattr(found, name) for name in ("done", "failed", "dropped", "expired", "errors")},
        "happened": dict(sorted(happened.items())),
        "usage_by_tenth": [asdict(usage) for usage in usages],
        "growth_after_the_first_tenth": usages[-1].memory - usages[0].memory,
        "threads_left": threading.active_count() - before,
    }


def broken(record: dict[str, Any]) -> list[str]:
    """What is not as it should be, in words."""
    soaked, usages = record["soak"], record["soak"]["usage_by_tenth"]
    weighed = record["idle"]
    laws = {
        "idle streams hold more than state and tracks": weighed["bytes_a_stream"]
        <= 1.25 * weighed["snapshot_bytes"] + OBJECTS,
        "streams hear each other": record["bits"]["streams_with_other_bits"] == 0,
        "turns are not fair": record["turns"]["spread"] <= MOST_SPREAD,
        "memory grows": soaked["growth_after_the_first_tenth"] < MOST_GROWTH,
        "threads grow": len({usage["threads"] for usage in usages}) == 1 and not soaked["threads_left"],
        "open files grow": len({usage["files"] for usage in usages}) == 1,
    }
    return [what for what, holds in laws.items() if not holds]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="for instance segmentation, with an onnxruntime engine")
    parser.add_argument("--idle", type=Path, help="bundle whose idle streams are weighed (default: the same)")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--turns", type=int, default=20, help="frames of each stream (default: %(default)s)")
    parser.add_argument("--soak-streams", type=int, default=8)
    parser.add_argument("--frames", type=int, default=10_000, help="of the soak (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    # Frames are copied in threads that come and go, and freed in workers: in many arenas they would leave gaps.
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
    logging.getLogger("vpp_deploy.serving").setLevel(logging.CRITICAL)  # what the soak breaks is counted
    record: dict[str, Any] = {"machine": describe_machine()}
    weighed = vd.load(options.idle or options.bundle, threads=1)
    record["idle"] = {"model": weighed.manifest.model.name, **idle(weighed, options.streams)}
    print(record["idle"], flush=True)
    del weighed
    model = vd.load(options.bundle, threads=1)
    record["model"] = model.manifest.model.name
    record["bits"] = crosstalk(model, options.streams, 4)
    print(record["bits"], flush=True)
    record["turns"] = fairness(model, options.streams, options.turns)
    print(record["turns"], flush=True)
    record["soak"] = soak(
        model, options.soak_streams, options.frames, lambda done, usage: print(done, usage, flush=True)
    )
    print(record["soak"]["happened"], record["soak"]["statistics"], sep="\n")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if found := broken(record):
        raise SystemExit("; ".join(found))


if __name__ == "__main__":
    main()
