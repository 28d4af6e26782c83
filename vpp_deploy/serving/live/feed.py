"""A source on its way through the pool: which frame is run, what becomes of its result, and what is counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import median
from threading import Condition, Lock
from typing import Any, Final

from vpp_deploy.errors import CapacityError, StreamError, VppDeployError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.serving.live.capture import FIRST_PAUSE, Capture, Shot, State
from vpp_deploy.serving.live.outputs import LiveLines, LiveVideos
from vpp_deploy.serving.pool import SessionPool
from vpp_deploy.serving.streams import INPUT_ERRORS
from vpp_deploy.tasks.segmentation.model import SegmentationModel, SegmentationStream
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import SessionState
from vpp_deploy.tasks.segmentation.writers import frame_record

_RECENT: Final = 100
"""Results that the age and the rate are told of."""
_WINDOW: Final = 5.0
"""Seconds that the rate is told of."""
_LAST_RESULT: Final = 60.0
"""Seconds that the end of a source waits for the frame that is being run."""


class LiveModel:
    """A model whose sessions take frames as they were received; what is dropped is not even resized.

    Args:
        model: that tracks.
    """

    def __init__(self, model: SegmentationModel) -> None:
        self._model = model
        self.manifest = model.manifest

    def session(self) -> LiveSession:
        """A new stream."""
        return LiveSession(self._model.session())


class LiveSession:
    """A stream of a `LiveModel`.

    Args:
        stream: that runs it.
    """

    def __init__(self, stream: SegmentationStream) -> None:
        self._stream = stream

    def __call__(self, shot: Shot) -> FrameResult:
        """The result of the next frame."""
        image, content = letterbox(shot.image, self._stream.session.engine.frame_size)
        return self._stream.run(Frame(image, content, shot.image, shot.index, shot.time))

    def snapshot(self) -> SessionState:
        """Everything that it remembers."""
        return self._stream.snapshot()

    def restore(self, state: SessionState) -> None:
        """Continue from a snapshot."""
        self._stream.restore(state)


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a source is doing.

    Attributes:
        name: what its outputs are called.
        state: what it is doing.
        received: frames that came.
        done: frames with a result.
        dropped: frames that a newer one replaced.
        failed: frames with an error.
        rate: results per second, of late.
        age: seconds from receiving a frame to its result, median of late; None before the first.
        problem: what went wrong last, or None.
    """

    name: str
    state: State
    received: int
    done: int
    dropped: int
    failed: int
    rate: float
    age: float | None
    problem: str | None


class Feed:
    """One source: its thread, its stream of the pool, its outputs.

    Attributes:
        name: of the stream and the outputs.

    Args:
        name: see the attribute.
        given: what to read.
        pool: over a `LiveModel`.
        class_names: a name for each label.
        lines: for results, or None.
        videos: for overlays, or None.
        fatal: is called, in any thread, with an error that concerns all sources: an output cannot be written.
        pause: see `Capture`.
    """

    def __init__(
        self,
        name: str,
        given: InputFile,
        pool: SessionPool,
        class_names: tuple[str, ...],
        *,
        lines: LiveLines | None,
        videos: LiveVideos | None,
        fatal: Callable[[VppDeployError], None],
        pause: float = FIRST_PAUSE,
    ) -> None:
        self.name = name
        self._pool, self._class_names, self._lines, self._videos, self._fatal = pool, class_names, lines, videos, fatal
        self._lock = Lock()  # of what is counted: held for a moment, also while the pool is locked
        self._writing = Lock()  # of the outputs
        self._done = self._dropped = self._failed = 0
        self._problem: str | None = None
        self._ages: deque[float] = deque(maxlen=_RECENT)
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._size: Size | None = None
        self._broken, self._closing, self._closed = False, False, False
        self._given = 0  # frames of which neither a result nor its loss has been taken
        self._settled = Condition()
        self.capture = Capture(given, self._deliver, self.finish, pause)

    @property
    def status(self) -> FeedStatus:
        """How it is doing now."""
        with self._lock:
            recent = [moment for moment in self._times if time.monotonic() - moment < _WINDOW]
            return FeedStatus(
                self.name,
                self.capture.state,
                self.capture.frames,
                self._done,
                self._dropped,
                self._failed,
                len(recent) / _WINDOW,
                median(self._ages) if self._ages else None,
                self.capture.problem or self._problem,
            )

    @property
    def over(self) -> bool:
        """It has ended, and its outputs are whole."""
        return self._closed

    def finish(self) -> None:
        """Let what runs or waits come to its end, and close the outputs. Harmless when called twice."""
        self._closing = True
        with self._settled:  # not the future: who waits for that is woken before its result has been written
            self._settled.wait_for(lambda: not self._given, _LAST_RESULT)
        with self._writing:
            if self._closed:
                return
            self._closed = True
            self._close_outputs()
        self._end_stream()

    def stop(self) -> None:
        """Take no more frames; the one that waits is left out. `finish` then has only that to wait for that runs."""
        self.capture.stop()
        self._closing = True
        self._end_stream()

    def _end_stream(self) -> None:
        with suppress(StreamError):  # it never began, or has ended already
            self._pool.end(self.name)

    def _deliver(self, shot: Shot) -> None:
        if self._closing:
            return
        size = (shot.image.shape[0], shot.image.shape[1])
        begin, self._broken = size != self._size or self._broken, False
        self._size = size
        self._count(1)
        try:
            future = self._pool.offer(self.name, shot, start=begin)
        except (CapacityError, StreamError) as error:
            self._broken, self._problem = True, str(error)
            self._count(-1)
            return
        future.add_done_callback(partial(self._take, shot))

    def _count(self, change: int) -> None:
        with self._settled:
            self._given += change
            self._settled.notify_all()

    def _take(self, shot: Shot, future: Future[Any]) -> None:
        """Take a result, or what there is instead. In the worker's thread, one after the other for a source."""
        try:
            self._take_in(shot, future)
        finally:
            self._count(-1)

    def _take_in(self, shot: Shot, future: Future[Any]) -> None:
        moment = time.monotonic()
        with self._lock:
            try:
                result = future.result()
            except CancelledError:
                self._dropped += 1
                return
            except Exception as error:
                self._failed += 1
                self._problem = str(error)
                self._broken = not isinstance(error, INPUT_ERRORS)
                return
            self._done += 1
            self._times.append(moment)
            self._ages.append(moment - shot.received)
        with self._writing:
            if not self._closed:
                self._write(shot, result, moment - shot.received)

    def _write(self, shot: Shot, result: FrameResult, age: float) -> None:
        try:
            if self._lines is not None:
                record = frame_record(result, "", self._class_names)
                self._lines.append({**record, "received": round(shot.clock, 3), "age": round(age, 4)})
            if self._videos is not None and result.frame is not None:
                self._videos.write(result.frame, result, shot.received)
        except VppDeployError as error:
            self._fatal(error)

    def _close_outputs(self) -> None:
        if self._lines is not None:
            self._lines.close()
        try:
            if self._videos is not None:
                self._videos.close()
        except VppDeployError as error:
            self._fatal(error)
