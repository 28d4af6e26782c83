"""Long and crowded runs of real engines: nothing grows, and nobody hears anybody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession

FRAMES = int(os.environ.get("SOAK_FRAMES", "10000"))
MOST_GROWTH = 4 << 20
"""Bytes from the first tenth of a soak to its end. An object of one kilobyte a frame would show after 4,000 frames."""


@dataclass(frozen=True)
class Usage:
    """What this process holds: bytes of memory, open files and threads."""

    memory: int
    files: int
    threads: int

    @classmethod
    def now(cls) -> Usage:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        )


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


def pictures(engine: Engine, count: int, seed: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Frames of noise at the engine's size."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (*engine.frame_size, 3), np.uint8) for _ in range(count)]


def bits(results: Sequence[FrameResult]) -> list[bytes]:
    """Everything that a video gave, to be compared exactly."""
    return [
        b"".join(
            np.ascontiguousarray(array).tobytes()
            for array in (
                result.instances.masks,
                result.instances.scores,
                result.instances.boxes,
                result.instances.labels,
                result.instances.identities,
                *result.kept.values(),
            )
        )
        for result in results
    ]


def test_sessions_on_their_own_threads_give_the_bits_of_single_runs(engine: Engine) -> None:
    """16 sessions over one engine, all at once; each has a film of its own."""
    films = [pictures(engine, 4, seed) for seed in range(16)]
    everyone = threading.Barrier(len(films))

    def run(film: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> list[bytes]:
        everyone.wait(60)
        with VideoSession(engine) as session:
            return bits([session(picture) for picture in film])

    with ThreadPoolExecutor(len(films)) as pool:
        together = list(pool.map(run, films))
    alone = []
    for film in films:
        with VideoSession(engine) as session:
            alone.append(bits([session(picture) for picture in film]))
    assert together == alone
    assert len({frames[-1] for frames in alone}) == len(films)


@pytest.mark.slow
def test_nothing_grows_over_many_frames(engine: Engine) -> None:
    """One session, with resets, snapshots and restores in between as servers do them."""
    film = pictures(engine, 16, 0)
    usages = []
    with VideoSession(engine) as session:
        saved = session.snapshot()
        for number in range(FRAMES):
            session(film[number % len(film)])
            if number % 50 == 49:
                saved = session.snapshot()
            if number % 170 == 169:
                session.restore(saved)
            if number % 1000 == 999:
                session.reset()
            if number % (FRAMES // 10) == FRAMES // 10 - 1:
                usages.append(Usage.now())
    first, *_, last = usages
    print(f"\nsoak of {FRAMES} frames: first tenth {first}, end {last}")  # noqa: T201 - the counts are the result
    assert (last.files, last.threads) == (first.files, first.threads)
    assert last.memory - first.memory < MOST_GROWTH
