from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from vpp_deploy.errors import VideoError
from vpp_deploy.media.overlap import Depths, ReadAhead, WriteBehind, depths_for


def counted(taken: list[int], count: int, error: Exception | None = None) -> Iterator[int]:
    for number in range(count):
        taken.append(number)
        yield number
    if error is not None:
        raise error


@pytest.mark.parametrize("depth", [1, 2, 9])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_come_in_order_and_no_more_than_depth_wait(count: int, depth: int) -> None:
    taken: list[int] = []
    with ReadAhead(counted(taken, count), depth) as items:
        for number, item in enumerate(items):
            assert item == number
            assert len(taken) <= number + 1 + depth
        assert next(items, None) is None
    assert taken == list(range(count))


def test_an_error_comes_where_the_item_would_have() -> None:
    with ReadAhead(counted([], 3, VideoError("broken")), 9) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(VideoError, match="broken"):
            next(items)


def test_reading_ahead_ends_with_its_block() -> None:
    taken: list[int] = []
    with ReadAhead(counted(taken, 100), 2) as items:
        next(items)
    assert len(taken) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_work_is_done_in_order_and_at_most_depth_pieces_are_unfinished() -> None:
    done: list[int] = []
    seconds: list[float] = []
    threads: set[int] = set()

    def work(number: int) -> None:
        threads.add(threading.get_ident())
        done.append(number)

    with WriteBehind(1) as behind:
        for number in range(6):
            behind.submit(partial(work, number), seconds.append)
            assert len(seconds) == number
            assert number <= len(done) <= number + 1
    assert done == list(range(6))
    assert len(seconds) == 6
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("depth", [0, 1])
def test_an_error_of_the_work_is_raised_and_what_follows_is_not_done(depth: int) -> None:
    done: list[int] = []

    def fail() -> None:
        raise VideoError("full")

    def run() -> None:
        with WriteBehind(depth) as behind:
            for work in (partial(done.append, 1), fail, partial(done.append, 2), partial(done.append, 3)):
                behind.submit(work, lambda seconds: None)

    with pytest.raises(VideoError, match="full"):
        run()
    assert done[0] == 1
    assert 3 not in done


def test_after_an_error_of_the_block_waiting_work_is_dropped() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(60)

    def run() -> None:
        with WriteBehind(2) as behind:
            behind.submit(work, lambda seconds: None)
            behind.submit(partial(done.append, 1), lambda seconds: None)
            assert begun.wait(60)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == []


def test_large_pictures_are_not_hoarded() -> None:
    assert depths_for((2160, 3840)) == Depths(2, 1)
    assert depths_for((8000, 8000)) == Depths(1, 0)
