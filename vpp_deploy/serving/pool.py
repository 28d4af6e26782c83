"""Many streams over one engine: each strictly in order, all of them in turn, on a few workers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread, current_thread
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from vpp_deploy.arguments import check_type, checked
from vpp_deploy.engines.stream_state import is_count
from vpp_deploy.errors import CapacityError, StreamError, UsageError
from vpp_deploy.machine import available_processors
from vpp_deploy.serving.measurements import Latency, Measurements
from vpp_deploy.serving.streams import Session, Stream, Task

_log = logging.getLogger(__name__)
_SWEEP: Final = 0.5
"""Seconds between two looks for streams that have gone quiet."""
_KEPT: Final = 60.0
"""Seconds that the last answer of a stream outlives it, for a client that missed it."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool has done until now.

    Attributes:
        streams: that are open.
        waiting: frames.
        done: frames with a result.
        failed: frames with an error.
        dropped: frames that a newer one replaced.
        expired: streams that were closed because nothing came.
        errors: frames with an error, by the name of its class.
        kept: tokens that were kept in all frames, by pruning point.
        latency: from giving a frame to its result.
    """

    streams: int
    waiting: int
    done: int
    failed: int
    dropped: int
    expired: int
    errors: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)


class SessionPool:
    """Runs the frames of many streams on a few threads. Thread-safe.

    A stream's frames run in the order in which they were given, one at a time; streams take turns, frame by frame, so
    that none waits for another one's backlog. On a processor the best throughput has as many workers as cores and one
    thread in the engine (`vd.load(bundle, threads=1)`).

    ```python
    with SessionPool(vd.load("small.bundle", threads=1)) as pool:
        pool.submit("camera 1", frame, start=True)
        future = pool.submit("camera 1", next_frame)
        print(future.result())
    ```

    Args:
        model: whose `session()` makes the session of a stream, as `vpp_deploy.load` gives it.
        workers: threads; None takes the processors that this process may use.
        max_streams: that may be open at once.
        max_waiting: frames of one stream that may wait.
        idle_seconds: a stream for which nothing has come for so long is closed; None keeps it.
        on_expired: called with the name of a stream that is closed for that, and with its snapshot; from a thread of
            the pool.

    Raises:
        UsageError: a number below 1, or a model without sessions.
    """

    @checked
    def __init__(
        self,
        model: Any,
        *,
        workers: int | None = None,
        max_streams: int = 64,
        max_waiting: int = 8,
        idle_seconds: float | None = None,
        on_expired: Callable[[str, Any], None] = lambda name, snapshot: None,
    ) -> None:
        if not callable(getattr(model, "session", None)):
            raise UsageError(
                f"a pool takes a model with sessions, as load(bundle) gives it, not a {type(model).__name__}"
            )
        count = available_processors() if workers is None else workers
        for what, value in (("workers", count), ("max_streams", max_streams), ("max_waiting", max_waiting)):
            if value < 1:
                raise UsageError(f"{what} is {value}; it is at least 1")
        if idle_seconds is not None and not idle_seconds > 0:
            raise UsageError(f"idle_seconds is {idle_seconds}; it is above 0, or None")
        self._open_session: Callable[[], Session] = model.session
        self._max_streams, self._max_waiting = max_streams, max_waiting
        self._idle_seconds, self._on_expired = idle_seconds, on_expired
        self._changed = Condition()
        self._streams: dict[str, Stream] = {}
        self._answers: dict[str, tuple[float, int, Any]] = {}  # of ended streams: when, number, result; oldest first
        self._ready: deque[Stream] = deque()
        self._running = 0
        self._closing = False
        self._dropped = self._expired = 0
        self._measured = Measurements()
        self._threads = [Thread(target=self._work, name=f"vpp-pool-{number}", daemon=True) for number in range(count)]
        if idle_seconds is not None:
            self._threads.append(Thread(target=self._sweep, name="vpp-pool-idle", daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        stream: str,
        frame: Any,
        *,
        start: bool = False,
        end: bool = False,
        number: int | None = None,
        state: Any = None,
        timeout: float | None = None,
    ) -> Future[Any]:
        """Give a stream its next frame; waits while too many of its frames wait.

        Args:
            stream: its name.
            frame: what the model's session takes. Arrays are copied; all else must stay as it is until the result.
            start: begin the stream with this frame; one of this name that is open ends where it is, or with its last
                frame if that has been given.
            end: close the stream after this frame. One whose number is not the next does not.
            number: the client's own count of the stream's frames. Each must be one more than the one before, or its
                result is an error of this frame alone; repeating the last one gives its result again, also for a
                minute after the stream's end.
            state: with `start`, a snapshot to continue from, as `snapshot` or its `to_bytes` gives it.
            timeout: seconds to wait for room; None waits as long as it takes. A callback of one of the pool's futures
                does not wait: it runs in a worker.

        Returns:
            Of the frame's result. A frame that is cancelled before it runs is left out.

        Raises:
            StreamError: there is no such stream, or the pool is closed.
            CapacityError: too many streams, or no room within the time.
            UsageError: a state that does not fit, or one without `start`; a number that is not whole; a name that is no
                text.
        """
        if number is not None and not is_count(number):
            raise UsageError(f"number is {number!r:.80}; a frame's number is a whole number")
        if state is not None and not start:
            raise UsageError("state is what a stream starts from; give start=True with it")
        session = self._new_session(state) if start else None
        return self._put(stream, Task(Future(), _own(frame), number, end), session, timeout)

    def offer(self, stream: str, frame: Any, *, start: bool = False) -> Future[Any]:
        """Give a live stream its newest frame, in place of an offered one that still waits; never wait for room.

        The future of a frame that is replaced is cancelled.

        Args:
            stream: its name.
            frame: as for `submit`.
            start: begin the stream with this frame.

        Raises:
            StreamError: there is no such stream, or the pool is closed.
            CapacityError: too many streams, or too many of its frames wait.
        """
        session = self._new_session(None) if start else None
        return self._put(stream, Task(Future(), _own(frame), replaceable=True), session, 0.0)

    def snapshot(self, stream: str) -> Future[Any]:
        """What the stream remembers when the frames that it has now are done.

        Raises:
            StreamError: there is no such stream, or the pool is closed.
        """
        return self._put(stream, Task(Future(), snapshot=True), None, None)

    def answer(self, stream: str, number: int | None) -> Future[Any] | None:
        """The stored result of the last frame of a stream that has ended; None if there is none, or no longer.

        Args:
            stream: its name.
            number: of that frame.
        """
        with self._changed:
            self._forget()
            _, last, result = self._answers.get(stream, (0.0, None, None))
        if number is None or number != last:
            return None
        future: Future[Any] = Future()
        future.set_result(result)
        return future

    def end(self, stream: str) -> None:
        """Close a stream at once. Frames that wait are cancelled; one that runs gets its result.

        Raises:
            StreamError: there is no such stream.
        """
        check_type("stream", stream, str)
        with self._changed:
            self._close(self._known(stream))

    @property
    def statistics(self) -> PoolStatistics:
        """What it has done until now."""
        with self._changed:
            waiting = sum(len(stream.waiting) for stream in self._streams.values())
            return PoolStatistics(
                streams=len(self._streams),
                waiting=waiting,
                done=self._measured.done,
                failed=self._measured.failed,
                dropped=self._dropped,
                expired=self._expired,
                errors=self._measured.errors,
                kept=self._measured.kept,
                latency=self._measured.latency,
            )

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that are open."""
        with self._changed:
            return tuple(self._streams)

    def close(self, *, drain: bool = True) -> None:
        """Take nothing more, and end.

        Args:
            drain: run what waits; otherwise it is cancelled.

        Raises:
            UsageError: it is called by one of the pool's own threads, in a callback, which it would wait for.
        """
        if current_thread() in self._threads:
            raise UsageError(
                "a callback of the pool cannot close it, since that waits for the callback; do it elsewhere"
            )
        with self._changed:
            self._closing = True
            if not drain:
                for stream in list(self._streams.values()):
                    self._close(stream)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        with self._changed:
            self._streams.clear()
            self._answers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(drain=error is None)

    def _new_session(self, state: Any) -> Session:
        session = self._open_session()
        if state is not None:
            session.restore(state)
        return session

    def _put(self, name: str, task: Task, session: Session | None, timeout: float | None) -> Future[Any]:
        check_type("stream", name, str)
        check_type("timeout", timeout, float | None)
        if current_thread() in self._threads:
            timeout = 0.0  # who waits here makes no room
        until = None if timeout is None else monotonic() + timeout
        with self._changed:
            if session is None and (stored := self.answer(name, task.number)) is not None:
                return stored
            stream = self._known(name) if session is None else self._begin(name, session, task)
            if task.replaceable:
                self._replace(stream, task)
            while len(stream.waiting) >= self._max_waiting and not task.snapshot:
                left = None if until is None else until - monotonic()
                if left is not None and left <= 0:
                    raise CapacityError(
                        f"stream {name!r:.80}: {len(stream.waiting)} of its frames wait already; wait for one of them"
                    )
                self._changed.wait(left)
                if task.session is not None and name not in self._streams:
                    stream = self._begin(name, task.session, task)
                if self._streams.get(name) is not stream or self._closing:
                    if (stored := self.answer(name, task.number)) is not None:
                        return stored
                    raise StreamError(f"stream {name!r:.80} has ended while a frame of it waited for room")
            stream.waiting.append(task)
            stream.used = monotonic()
            self._make_ready(stream)
        return task.future

    def _known(self, name: str) -> Stream:
        if self._closing:
            raise StreamError("the pool is closed")
        if name not in self._streams:
            raise StreamError(f"there is no stream {name!r:.80}; give its first frame with start=True")
        return self._streams[name]

    def _begin(self, name: str, session: Session, task: Task) -> Stream:
        if self._closing:
            raise StreamError("the pool is closed")
        task.session = None
        self._answers.pop(name, None)
        if name in self._streams:
            stream = self._streams[name]
            if any(waiting.end for waiting in stream.waiting):  # that one is whole: it has the time to end
                while not stream.waiting[-1].end:
                    _cancel(stream.waiting.pop())
                task.session = session
                return stream
            self._close(stream)
        elif len(self._streams) >= self._max_streams:
            raise CapacityError(f"{self._max_streams} streams are open, as many as may be; end one of them")
        self._streams[name] = Stream(name, session)
        _log.info("stream %.80r begins", name, extra=_of(self._streams[name]))
        return self._streams[name]

    def _replace(self, stream: Stream, newer: Task) -> None:
        for task in [task for task in stream.waiting if task.replaceable]:
            stream.waiting.remove(task)
            newer.session = newer.session or task.session
            _cancel(task)
            self._dropped += 1

    def _finish(self, stream: Stream) -> None:
        """After its last frame: what was given behind that is not run, unless the stream starts anew there.

        What asks for the same frame again stays, and gets its answer: now, or as long as that is kept.
        """
        again: list[Task] = []
        while stream.waiting and stream.waiting[0].session is None:
            task = stream.waiting.popleft()
            if stream.has_answered(task.number):
                again.append(task)
            else:
                _cancel(task)
        if not stream.waiting:
            if self._streams.get(stream.name) is stream and stream.answer is not None:
                self._answers[stream.name] = (monotonic() + _KEPT, *stream.answer)
                if len(self._answers) > self._max_streams:
                    del self._answers[next(iter(self._answers))]
            self._close(stream)
        stream.waiting.extendleft(reversed(again))
        self._changed.notify_all()

    def _forget(self) -> float | None:
        """Drop the answers that have been kept long enough; the seconds until the next one has, None without any."""
        now = monotonic()
        for name, (until, _, _) in list(self._answers.items()):
            if until > now:
                return until - now
            del self._answers[name]
        return None

    def _close(self, stream: Stream) -> None:
        while stream.waiting:
            _cancel(stream.waiting.popleft())
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]
            _log.info("stream %.80r ends", stream.name, extra=_of(stream))
        self._changed.notify_all()

    def _make_ready(self, stream: Stream) -> None:
        if stream.waiting and not stream.busy:
            stream.busy = True
            self._ready.append(stream)
            self._changed.notify_all()

    def _work(self) -> None:
        while self._take_turn():  # what a turn held is gone by the next one's wait
            pass

    def _take_turn(self) -> bool:
        """Wait for a stream, and run its next frame; False if nothing will come."""
        with self._changed:
            while not self._ready:
                if self._closing and not self._running:
                    self._changed.notify_all()
                    return False
                self._changed.wait(self._forget())
            stream = self._ready.popleft()
            task = stream.waiting.popleft() if stream.waiting else None
            self._running += 1
            self._changed.notify_all()  # there is room for a frame now
        if task is not None:
            self._run(stream, task)
        with self._changed:
            self._running -= 1
            stream.busy, stream.used = False, monotonic()
            if task is not None and task.end:
                self._finish(stream)
            self._make_ready(stream)
            self._changed.notify_all()
        return True

    def _run(self, stream: Stream, task: Task) -> None:
        if task.session is not None:
            stream.begin(task.session)
            _log.info("stream %.80r begins anew", stream.name, extra=_of(stream))
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            result = stream.run(task)
        except BaseException as error:  # whoever waits for the frame gets it, and the other streams go on
            _log.warning("stream %.80r: %s: %s", stream.name, type(error).__name__, error, extra=_of(stream))
            self._note(stream, task, partial(self._measured.add_error, error))
            task.future.set_exception(error)
        else:
            self._note(stream, task, partial(self._measured.add, monotonic() - task.given, result))
            task.future.set_result(result)

    def _note(self, stream: Stream, task: Task, measure: Callable[[], None]) -> None:
        """What whoever has the result may count on: it is in the statistics, and a last frame has ended its stream."""
        with self._changed:
            if not task.snapshot:
                measure()
            if task.end:
                self._finish(stream)

    def _sweep(self) -> None:
        assert self._idle_seconds is not None
        while True:
            with self._changed:
                self._changed.wait(min(_SWEEP, self._idle_seconds))
                if self._closing:
                    return
                limit = monotonic() - self._idle_seconds
                quiet = [stream for stream in self._streams.values() if stream.idle and stream.used < limit]
                for stream in quiet:
                    self._close(stream)
                self._expired += len(quiet)
            for stream in quiet:
                _log.info("stream %.80r: nothing came for %g s", stream.name, self._idle_seconds, extra=_of(stream))
                try:
                    self._on_expired(stream.name, stream.session.snapshot())
                except Exception:  # of the user's own function: it must not end the pool
                    _log.exception(
                        "stream %.80r has expired, and what was to be done then failed", stream.name, extra=_of(stream)
                    )


def _own(frame: Any) -> Any:
    """The frame; of an array a copy: it may be a buffer that gets the next picture (0.4 ms at 1080p)."""
    return frame.copy() if isinstance(frame, np.ndarray) else frame


def _of(stream: Stream) -> dict[str, str]:
    """The field of a log record that says whose it is."""
    return {"stream": stream.name}


def _cancel(task: Task) -> None:
    """Cancel a future, and tell those who wait for it: a pool of the library does that when it comes to it."""
    if task.future.cancel():
        task.future.set_running_or_notify_cancel()
