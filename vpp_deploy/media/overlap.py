"""Work beside the main thread: reading ahead of it, drawing and encoding behind it, each in order and not too far off.

Signals reach the main thread alone. It is never further away from them than a wait that they end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from time import perf_counter
from types import TracebackType
from typing import Final, Generic, NamedTuple, Self, TypeVar

from vpp_deploy.frames import Size

T = TypeVar("T")

_LARGEST: Final = 1 << 26
"""Bytes of a picture beyond which no more of them are held than without threads: one at work, one read ahead."""


class Depths(NamedTuple):
    """How many pictures may be held beside the one at work: read ahead, and not yet written."""

    ahead: int
    behind: int


def depths_for(size: Size) -> Depths:
    """How far threads may be off, for pictures of a height and width in pixels."""
    return Depths(2, 1) if 3 * size[0] * size[1] <= _LARGEST else Depths(1, 0)


class ReadAhead(Iterator[T], Generic[T]):
    """Takes items from an iterator in a thread, before they are asked for. A context manager, which ends the thread.

    An error of the iterator is raised where its item would have come.

    Attributes:
        seconds: how long the last item took, in its thread.

    Args:
        items: is used by that thread alone until the `with` block ends.
        depth: items that may wait; at least 1.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self.seconds = 0.0
        self._items, self._depth = items, depth
        self._executor = ThreadPoolExecutor(1, "read-ahead")
        self._waiting: deque[Future[tuple[list[T], float]]] = deque()

    def __enter__(self) -> Self:
        self._fill()
        return self

    def __next__(self) -> T:
        if not self._waiting:
            raise StopIteration
        found, self.seconds = self._waiting.popleft().result()
        if not found:
            raise StopIteration
        self._fill()
        return found[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _fill(self) -> None:
        while len(self._waiting) < self._depth:
            self._waiting.append(self._executor.submit(self._take))

    def _take(self) -> tuple[list[T], float]:
        """The next item, or none; and the seconds that it took."""
        start = perf_counter()
        found = list(islice(self._items, 1))
        return found, perf_counter() - start


class WriteBehind:
    """Does pieces of work in a thread, in order. A context manager, which waits for all; after an error it drops them.

    Args:
        depth: pieces that may be unfinished when `submit` returns.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._executor = ThreadPoolExecutor(1, "write-behind")
        self._unfinished: deque[tuple[Future[float], Callable[[float], None]]] = deque()

    def submit(self, work: Callable[[], None], done: Callable[[float], None]) -> None:
        """Have a piece of work done.

        Args:
            work: is called in the thread. Its error is raised here by a later call, or at the end of the block.
            done: is called in the calling thread with the seconds that the work took, when it is known to be done.
        """
        self._unfinished.append((self._executor.submit(_timed, work), done))
        self._wait(self._depth)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait(0)
        finally:
            self._executor.shutdown(cancel_futures=True)

    def _wait(self, unfinished: int) -> None:
        while len(self._unfinished) > unfinished:
            work, done = self._unfinished.popleft()
            done(work.result())


def _timed(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
