"""One source, read in a thread of its own as fast as it comes, and again when it breaks off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from threading import Event, Thread
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError, VppDeployError
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.location import Kind, kind_of
from vpp_deploy.media.probe import open_source
from vpp_deploy.media.source import Source
from vpp_deploy.media.writer import DEFAULT_FRAME_RATE

_log = logging.getLogger(__name__)
FIRST_PAUSE: Final = 1.0
"""Seconds before the first try to reach a source again; each further one waits twice as long, ..."""
LONGEST_PAUSE: Final = 30.0
"""... up to this."""


class State(Enum):
    """What a source is doing."""

    CONNECTING = "connecting"
    PLAYING = "playing"
    WAITING = "waiting"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self in (State.ENDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame as it came.

    Attributes:
        image: `[H0, W0, 3]` uint8 RGB.
        index: among all frames of the source, from 0, over interruptions.
        time: in seconds as the source tells it, or None.
        received: when it was decoded, in seconds of the monotonic clock.
        clock: the same in seconds since 1970.
    """

    image: npt.NDArray[np.uint8]
    index: int
    time: Fraction | None
    received: float
    clock: float


class Capture:
    """Reads a source in a thread.

    Files come at their own pace and once. Cameras and streams are opened again when they break off or cannot be
    reached, be it from the start, until `stop`; an address whose length is known is a file.

    Attributes:
        state: what it is doing.
        problem: what went wrong last, as one line; None if nothing did, or all is well again.
        frames: how many came.

    Args:
        given: what to read.
        deliver: is called in the thread with each frame.
        ended: is called in the thread when nothing more will come; `state` tells it afterwards.
        pause: seconds before the first new try.
    """

    def __init__(
        self,
        given: InputFile,
        deliver: Callable[[Shot], None],
        ended: Callable[[], None],
        pause: float = FIRST_PAUSE,
    ) -> None:
        self.state, self.frames = State.CONNECTING, 0
        self.problem: str | None = None
        self._given, self._deliver, self._ended, self._first_pause = given, deliver, ended, pause
        self._stop = Event()
        self._thread = Thread(target=self._run, name=f"vpp-capture-{given}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. It may take as long as the source may be silent."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, but not for ever."""
        self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        state, pause = State.ENDED, self._first_pause
        try:
            while not self._stop.is_set():
                before = self.frames
                state = self._play()
                if state.over:
                    return
                self.state, pause = state, self._first_pause if self.frames > before else pause
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            state = State.ENDED
        except Exception as error:  # a fault of ours or of a library: this source ends, and the others go on
            _log.exception("source %s", self._given)
            self.problem, state = f"{self._given}: {type(error).__name__}: {error}", State.FAILED
        finally:
            self._ended()
            self.state = state

    def _play(self) -> State:
        """Read the source to its end, and tell what comes after that."""
        after = State.FAILED
        try:
            live = kind_of(self._given.path) in (Kind.NETWORK, Kind.CAMERA)
            after = State.WAITING if live else State.FAILED
            with closing(open_source(self._given)) as source:
                again = live and source.frame_count is None
                after = State.WAITING if again else State.FAILED
                self._read(source, paced=not again)
                if self._stop.is_set():
                    return State.ENDED
                self.problem = source.problem or (f"{self._given}: the stream has ended" if again else None)
        except VppDeployError as error:
            self.problem = str(error)
            return State.FAILED if isinstance(error, UsageError) else after  # options do not change by themselves
        return State.WAITING if again else State.ENDED

    def _read(self, source: Source, *, paced: bool) -> None:
        rate = source.frame_rate or DEFAULT_FRAME_RATE
        begin, first = time.monotonic(), None
        for number, picture in enumerate(source.pictures()):
            if paced:
                first = picture.time if first is None else first
                due = Fraction(number) / rate if picture.time is None or first is None else picture.time - first
                self._stop.wait(max(0.0, begin + float(due) - time.monotonic()))
            if self._stop.is_set():
                return
            self.state, self.problem = State.PLAYING, None
            self._deliver(Shot(picture.image, self.frames, picture.time, time.monotonic(), time.time()))
            self.frames += 1
