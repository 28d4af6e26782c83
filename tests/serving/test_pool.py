"""Many streams over one engine: in order, in turn, apart from each other, and ended cleanly."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import vpp_deploy as vd
from vpp_deploy.errors import CapacityError, EngineOutputError, StreamError, UsageError, VideoError
from vpp_deploy.serving import SessionPool
from vpp_deploy.serving import pool as pool_module

PATIENCE = 30.0


class Counting:
    """A session that counts its frames, and notes who runs when."""

    def __init__(self, model: Model) -> None:
        self.model, self.frames = model, 0

    def __call__(self, frame: Any) -> Any:
        if isinstance(frame, BaseException):
            raise frame
        self.model.hold(frame)
        self.frames += 1
        with self.model.lock:
            self.model.log.append(frame)
        return frame, self.frames

    def snapshot(self) -> int:
        return self.frames

    def restore(self, state: Any) -> None:
        if not isinstance(state, int):
            raise UsageError("no snapshot")
        self.frames = state


class Model:
    """Makes sessions; `hold` says what a frame waits for."""

    def __init__(self, hold: Callable[[Any], object] = lambda frame: None) -> None:
        self.hold, self.lock, self.log = hold, threading.Lock(), []

    log: list[Any]

    def session(self) -> Counting:
        return Counting(self)


def results(futures: Sequence[Future[Any]]) -> list[Any]:
    return [future.result(PATIENCE) for future in futures]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40),
    st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_every_stream_is_in_order_whatever_the_others_do(frames: list[tuple[str, int]], workers: int) -> None:
    model, futures, counts = Model(), [], dict.fromkeys("abc", 0)
    with SessionPool(model, workers=workers, max_waiting=50) as pool:
        for name in "abc":
            pool.submit(name, (name, 0), start=True)
        for name, _ in frames:
            counts[name] += 1
            futures.append((name, counts[name], pool.submit(name, (name, counts[name]))))
        for name, number, future in futures:
            assert future.result(PATIENCE) == ((name, number), number + 1)
    for name in "abc":
        assert [number for who, number in model.log if who == name] == list(range(counts[name] + 1))
    assert pool.statistics.done == len(frames) + 3


def test_streams_take_turns(gate: threading.Event) -> None:
    """A backlog of one stream does not keep the others waiting."""
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=1, max_waiting=20) as pool:
        for name in "abc":
            pool.submit(name, name, start=True)
        for name in "aaaaaabc":
            pool.submit(name, name)
        gate.set()
    assert model.log[:6] in (list("abcabc"), list("abcacb"))
    assert model.log[6:] == ["a"] * 5


def test_a_frame_that_cannot_be_used_hurts_nobody() -> None:
    with SessionPool(Model(), workers=2) as pool:
        pool.submit("a", 1, start=True)
        bad = pool.submit("a", VideoError("no picture"))
        assert pool.submit("a", 2).result(PATIENCE) == (2, 2)
        with pytest.raises(VideoError, match="no picture"):
            bad.result(PATIENCE)


def test_a_stream_that_breaks_breaks_alone() -> None:
    with SessionPool(Model(), workers=2) as pool:
        for name in "ab":
            pool.submit(name, 0, start=True)
        with pytest.raises(EngineOutputError):
            pool.submit("a", EngineOutputError("NaN")).result(PATIENCE)
        with pytest.raises(StreamError, match=r"stream 'a' broke \(NaN\); start it anew"):
            pool.submit("a", 1).result(PATIENCE)
        assert pool.submit("b", 1).result(PATIENCE) == (1, 2)
        assert pool.submit("a", 5, start=True).result(PATIENCE) == (5, 1)
        assert pool.statistics.failed == 2


def test_numbers_find_lost_doubled_and_overtaken_frames() -> None:
    with SessionPool(Model(), workers=1) as pool:
        pool.submit("a", "zero", start=True, number=7)
        first = pool.submit("a", "one", number=8)
        assert first.result(PATIENCE) == ("one", 2)
        assert pool.submit("a", "one again", number=8).result(PATIENCE) is first.result()
        for number in (10, 7, -1):
            with pytest.raises(StreamError, match=rf"frame {number} comes after frame 8; send frame 9"):
                pool.submit("a", "lost", number=number).result(PATIENCE)
        assert pool.submit("a", "two", number=9).result(PATIENCE) == ("two", 3)


def test_the_last_answer_outlives_its_stream_until_its_name_begins_anew() -> None:
    with SessionPool(Model(), workers=1) as pool:
        for name in "ab":
            pool.submit(name, "zero", start=True, number=7)
            last = pool.submit(name, "one", number=8, end=True)
            assert pool.submit(name, "one", number=8, end=True).result(PATIENCE) is last.result(PATIENCE)
            assert pool.submit(name, "one", number=8).result(PATIENCE) is last.result()
            assert pool.streams == ()
            for number in (7, 9, None):
                assert pool.answer(name, number) is None
                with pytest.raises(StreamError, match="there is no stream"):
                    pool.submit(name, "lost", number=number)
        pool.submit("a", "new", start=True, number=3).result(PATIENCE)
        assert pool.answer("a", 8) is None
        with pytest.raises(StreamError, match="frame 8 comes after frame 3"):
            pool.submit("a", "one", number=8).result(PATIENCE)
        kept = pool.answer("b", 8)
        assert kept is not None
        assert kept.result() is last.result()


class Kept:
    """A result that can be watched."""


class Giving(Counting):
    """A session with such results."""

    def __call__(self, frame: Any) -> Any:
        return Kept()


class Givers(Model):
    """Makes those."""

    def session(self) -> Counting:
        return Giving(self)


def only_frame(pool: SessionPool, name: str) -> weakref.ref[Kept]:
    return weakref.ref(pool.submit(name, 0, start=True, end=True, number=0).result(PATIENCE))


def test_as_many_answers_are_kept_as_streams_may_be() -> None:
    with SessionPool(Givers(), workers=2, max_streams=3) as pool:
        results = [only_frame(pool, name) for name in "abcde"]
        until(lambda: [result() is None for result in results] == [True, True, False, False, False])
        assert [pool.answer(name, 0) is None for name in "abcde"] == [True, True, False, False, False]
    until(lambda: all(result() is None for result in results))


def test_an_answer_goes_when_its_time_is_over_and_nothing_else_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_KEPT", 0.2)
    with SessionPool(Givers(), workers=2) as pool:
        result = only_frame(pool, "a")
        until(lambda: result() is None)


def until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_the_newest_frame_takes_the_place_of_one_that_waits(gate: threading.Event) -> None:
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=1, max_waiting=1) as pool:
        first = pool.offer("cam", 0, start=True)
        while pool.statistics.waiting:
            time.sleep(0.001)
        offered = [pool.offer("cam", number) for number in range(1, 6)]
        assert pool.statistics.dropped == 4
        gate.set()
        assert first.result(PATIENCE) == (0, 1)
        assert offered[-1].result(PATIENCE) == (5, 2)
        assert all(future.cancelled() for future in offered[:-1])


def test_room_is_bounded(gate: threading.Event) -> None:
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=1, max_streams=2, max_waiting=2) as pool:
        for name in "ab":
            pool.submit(name, name, start=True)
        while pool.statistics.waiting > 1:
            time.sleep(0.001)
        with pytest.raises(CapacityError, match="2 streams are open"):
            pool.submit("c", 0, start=True)
        filled = [pool.submit("a", number) for number in range(2)]
        with pytest.raises(CapacityError, match="2 of its frames wait already"):
            pool.submit("a", 2, timeout=0.01)
        late: list[Future[Any]] = []
        waits = threading.Thread(target=lambda: late.append(pool.submit("a", 2)))
        waits.start()
        gate.set()
        waits.join(PATIENCE)
        assert results([*filled, *late])[-1] == (2, 4)


def test_streams_end_and_begin_again() -> None:
    with SessionPool(Model(), workers=2) as pool:
        assert pool.submit("a", 0, start=True, end=True).result(PATIENCE) == (0, 1)
        assert pool.streams == ()
        for call in (lambda: pool.submit("a", 1), lambda: pool.end("a"), lambda: pool.snapshot("a")):
            with pytest.raises(StreamError, match="there is no stream 'a'; give its first frame with start=True"):
                call()
        pool.submit("a", 0, start=True)
        pool.submit("a", 1)
        assert pool.snapshot("a").result(PATIENCE) == 2
        assert pool.submit("b", 0, start=True, state=10).result(PATIENCE) == (0, 11)
        with pytest.raises(UsageError, match="no snapshot"):
            pool.submit("c", 0, start=True, state="nonsense")
        with pytest.raises(UsageError, match="give start=True"):
            pool.submit("b", 0, state=3)
        assert set(pool.streams) == {"a", "b"}
        pool.end("b")
        assert pool.streams == ("a",)


def test_a_stream_whose_last_frame_waits_is_not_lost_when_its_name_begins_again(gate: threading.Event) -> None:
    """A client that ends one video and begins the next does not wait for the answers of the first."""
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=2, max_waiting=5) as pool:
        first = [pool.submit("a", n, start=n == 0, end=n == 2, number=n) for n in range(3)]
        dropped = pool.submit("a", "behind the last")
        second = [pool.submit("a", "second", start=True, number=7)]
        third = [pool.submit("a", n, start=n == 0, number=n) for n in range(2)]
        gate.set()
        assert results(first) == [(0, 1), (1, 2), (2, 3)]
        assert [one.cancelled() for one in (dropped, *second)] == [True, True]  # it ended where it was
        assert results(third) == [(0, 1), (1, 2)]
        assert pool.streams == ("a",)


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_videos_under_one_name_are_whole_and_apart(videos: list[list[int]], room: int) -> None:
    """Given as fast as there is room, each frame as often as it says; some of one frame, which is first and last."""
    with SessionPool(Model(), workers=3, max_waiting=room) as pool:
        given = []
        for times in videos:
            for n, often in enumerate(times):
                given += [
                    (n, pool.submit("a", n, start=n == again == 0, end=n == len(times) - 1, number=n))
                    for again in range(often)
                ]
        for n, future in given:
            assert future.result(PATIENCE) == (n, n + 1)
        assert pool.streams == ()
        assert pool.statistics.waiting == 0


def test_a_last_frame_that_has_overtaken_another_does_not_end_the_stream(gate: threading.Event) -> None:
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=1) as pool:
        pool.submit("a", 0, start=True, number=0)
        overtaking = pool.submit("a", 2, number=2, end=True)
        overtaken = pool.submit("a", 1, number=1)
        gate.set()
        with pytest.raises(StreamError, match="frame 2 comes after frame 0; send frame 1"):
            overtaking.result(PATIENCE)
        assert overtaken.result(PATIENCE) == (1, 2)
        assert pool.submit("a", 2, number=2, end=True).result(PATIENCE) == (2, 3)
        assert pool.streams == ()


def test_a_callback_can_neither_wait_for_its_own_worker_nor_close_the_pool() -> None:
    said: list[BaseException] = []

    def from_the_worker(future: Future[Any]) -> None:
        for call in (lambda: [pool.submit("a", 1) for _ in range(3)], pool.close):
            try:
                call()
            except UsageError as error:
                said.append(error)
            except CapacityError as error:
                said.append(error)

    with SessionPool(Model(), workers=1, max_waiting=2) as pool:
        pool.submit("a", 0, start=True).add_done_callback(from_the_worker)
        while len(said) < 2:
            time.sleep(0.001)
    assert [type(error) for error in said] == [CapacityError, UsageError]
    assert pool.statistics.done == 3


def test_results_of_any_kind_are_counted() -> None:
    class Odd:
        kept: Any = None

    class Giving(Model):
        def __init__(self, result: Odd) -> None:
            super().__init__()
            self.result = result

        def session(self) -> Counting:
            return Session(self)

    class Session(Counting):
        def __call__(self, frame: Any) -> Any:
            assert isinstance(self.model, Giving)
            return self.model.result

    for kept in (None, 3, {"a": 5}, {1: [0, 1]}, "kept"):
        result = Odd()
        result.kept = kept

        with SessionPool(Giving(result), workers=1) as pool:
            assert pool.submit("a", 0, start=True, end=True).result(PATIENCE) is result
            assert pool.statistics.done == 1


@pytest.mark.parametrize("number", ["1", 1.5, True, 2**70])
def test_a_number_that_is_none_is_refused(number: Any) -> None:
    with SessionPool(Model(), workers=1) as pool, pytest.raises(UsageError, match="number is"):
        pool.submit("a", 0, start=True, number=number)


def test_quiet_streams_expire_and_leave_their_snapshot() -> None:
    expired: list[tuple[str, Any]] = []

    def note(name: str, snapshot: Any) -> None:
        expired.append((name, snapshot))
        raise RuntimeError("the user's own fault")

    with SessionPool(Model(), workers=1, idle_seconds=0.1, on_expired=note) as pool:
        pool.submit("a", 0, start=True)
        pool.submit("a", 1).result(PATIENCE)
        begin = time.monotonic()
        while pool.streams and time.monotonic() < begin + PATIENCE:
            time.sleep(0.01)
        assert pool.submit("b", 0, start=True).result(PATIENCE) == (0, 1)
        assert pool.statistics.expired == 1
    assert expired[0] == ("a", 2)


@pytest.mark.parametrize("drain", [True, False])
def test_closing_runs_or_cancels_what_waits(drain: bool, gate: threading.Event) -> None:
    before = threading.active_count()
    model = Model(lambda frame: gate.wait(PATIENCE))
    pool = SessionPool(model, workers=2, max_waiting=10, idle_seconds=60)
    futures = [pool.submit("a", 0, start=True), *(pool.submit("a", number) for number in range(1, 5))]
    while not futures[0].running():
        time.sleep(0.001)
    closer = threading.Thread(target=pool.close, kwargs={"drain": drain})
    closer.start()
    time.sleep(0.05)
    gate.set()
    closer.join(PATIENCE)
    wait(futures, PATIENCE)
    assert futures[0].result() == (0, 1)
    assert [future.cancelled() for future in futures[1:]] == [not drain] * 4
    with pytest.raises(StreamError, match="the pool is closed"):
        pool.submit("a", 9, start=True)
    assert threading.active_count() == before
    pool.close()


def test_a_cancelled_frame_is_left_out(gate: threading.Event) -> None:
    model = Model(lambda frame: gate.wait(PATIENCE))
    with SessionPool(model, workers=1) as pool:
        pool.submit("a", 0, start=True)
        unwanted = pool.submit("a", 1)
        wanted = pool.submit("a", 2)
        assert unwanted.cancel()
        gate.set()
        assert wanted.result(PATIENCE) == (2, 2)
        with pytest.raises(CancelledError):
            unwanted.result(PATIENCE)


@pytest.mark.parametrize(
    ("named", "words"),
    [({"workers": 0}, "workers is 0"), ({"max_streams": 0}, "max_streams"), ({"idle_seconds": 0}, "idle_seconds is 0")],
)
def test_numbers_that_cannot_be_are_refused(named: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SessionPool(Model(), **named)
    with pytest.raises(UsageError, match="as load"):
        SessionPool(object())


def test_a_real_model_gives_the_bits_of_plain_sessions(micro_bundle: vd.Bundle) -> None:
    """Four videos, interleaved by chance, on two workers; one of them goes on from its snapshot half-way."""
    model = vd.load(micro_bundle, threads=1)
    generator = np.random.default_rng(0)
    videos = {f"video {n}": generator.integers(0, 256, (5, 100, 140, 3), np.uint8) for n in range(4)}
    expected = {name: list(model.track(list(frames))) for name, frames in videos.items()}
    found: dict[str, list[Any]] = {name: [] for name in videos}
    with SessionPool(model, workers=2) as pool:
        order = generator.permutation([name for name in videos for _ in range(5)])
        for name in map(str, order):
            number = len(found[name])
            state = None
            if name == "video 3" and number == 3:
                state = pool.snapshot(name).result(PATIENCE).to_bytes()
            begins = number == 0 or state is not None
            found[name].append(pool.submit(name, videos[name][number], start=begins, state=state))
    for name, futures in found.items():
        for ours, theirs in zip(results(futures), expected[name], strict=True):
            assert ours.index == theirs.index
            assert_array_equal(ours.instances.masks, theirs.instances.masks)
            assert_array_equal(ours.instances.scores, theirs.instances.scores)
            assert_array_equal(ours.instances.identities, theirs.instances.identities)


@pytest.mark.parametrize("name", [["a"], None, 3])
def test_a_streams_name_is_text(name: Any) -> None:
    with SessionPool(Model(), workers=1) as pool:
        for call in (pool.submit, pool.offer):
            with pytest.raises(UsageError, match=r"stream is .*; give text"):
                call(name, 1, start=True)
        for other in (pool.snapshot, pool.end):
            with pytest.raises(UsageError, match=r"stream is .*; give text"):
                other(name)
        with pytest.raises(UsageError, match="timeout is 'x'"):
            pool.submit("a", 1, start=True, timeout="x")  # type: ignore[arg-type]
        assert not pool.streams
