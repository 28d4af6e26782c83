"""Long and crowded runs of real engines: nothing grows, and nobody hears anybody else."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import vpp_deploy
from benchmarks.pool import MOST_GROWTH, Usage, broken, crosstalk, fairness, film, idle, soak
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession

FRAMES = int(os.environ.get("SOAK_FRAMES", "10000"))


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def model(micro_bundle: Bundle) -> Any:
    return vpp_deploy.load(micro_bundle, threads=1)


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
    for pictures_of_one in films:
        with VideoSession(engine) as session:
            alone.append(bits([session(picture) for picture in pictures_of_one]))
    assert together == alone
    assert len({frames[-1] for frames in alone}) == len(films)


def test_streams_of_a_pool_do_not_hear_each_other(model: Any) -> None:
    found = crosstalk(model, streams=8, length=3)
    assert found == {"streams": 8, "frames": 24, "films_that_differ": 8, "streams_with_other_bits": 0}


def test_a_backlog_buys_no_turns(model: Any) -> None:
    found = fairness(model, streams=6, frames_each=8)
    assert found["most"] - found["fewest"] <= 2


def test_a_stream_that_waits_holds_neither_frames_nor_results(model: Any) -> None:
    held: list[weakref.ref[Any]] = []
    with vpp_deploy.SessionPool(model, workers=2) as pool:
        for index, frame in enumerate(film(model, 3, 0)):
            for name in "abcd":
                own = frame.copy()
                result = pool.submit(name, own, start=index == 0).result()
                held += [weakref.ref(own), weakref.ref(result.instances.masks)]
                del own, result
        pool.snapshot("a").result()
        pool.snapshot("b").result()
        while any(ref() is not None for ref in held) and pool.statistics.waiting == 0:
            threading.Event().wait(0.01)  # a worker is on its way to its next turn
        assert len(pool.streams) == 4


def test_a_crowd_that_starts_ends_breaks_and_falls_silent_leaves_nothing_behind(model: Any) -> None:
    found = soak(model, streams=4, frames=100)
    assert found["frames"] >= 100
    assert found["threads_left"] == 0
    assert len({(usage["files"], usage["threads"]) for usage in found["usage_by_tenth"]}) == 1
    assert {"result", "started"} < found["happened"].keys()


@pytest.mark.slow
def test_nothing_grows_over_many_frames_of_many_streams(model: Any) -> None:
    record = {
        "idle": idle(model, 64),
        "bits": crosstalk(model, 64, 4),
        "turns": fairness(model, 64, 20),
        "soak": soak(model, 8, FRAMES),
    }
    assert broken(record) == []


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
