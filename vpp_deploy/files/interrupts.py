"""Signals that end a run: Ctrl-C, SIGTERM and SIGHUP become an exception, so that what is being written is tidied up.

A second signal within `MEANT_AS_ONE` seconds is taken for the same wish (a closed terminal sends SIGHUP twice), so that
it cannot stop the tidying up halfway. Blocks that must not be left halfway at all are `shielded`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import Any, Final

MEANT_AS_ONE: Final = 3.0
"""Seconds after a signal in which further ones are taken for the same."""

_WORDS: Final = {"SIGINT": "stopped by Ctrl-C", "SIGTERM": "stopped by SIGTERM", "SIGHUP": "stopped by SIGHUP"}


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end. Libraries know `KeyboardInterrupt`, and let it through.

    Attributes:
        status: the exit status of a process that ends for it, as shells have it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(describe(number))
        self.status = 128 + number


class _State:  # no dataclass, whose import takes longer than all of this module: until then Ctrl-C prints a traceback
    """Of this process: signals have no other scope.

    Attributes:
        at_once: nothing has been begun, so that a signal ends the process without an exception.
        shields: how many `shielded` blocks the main thread is in.
        waiting: a signal that arrived in one.
        last: the signal that was raised last.
        raised: when, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.at_once = False
        self.shields = 0
        self.waiting: int | None = None
        self.last: int | None = None
        self.raised = 0.0


_state: Final = _State()


@contextmanager
def handled() -> Iterator[None]:
    """A block that signals end: at once until `begin_work` is called, then by `Interrupted`.

    Signals that are ignored (`nohup`, a job in the background of a script) stay ignored. Outside the main thread, which
    alone can have handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.at_once, _state.shields, _state.waiting, _state.last = True, 0, None, None
    before: dict[int, Any] = {}
    try:
        for name in _WORDS:
            number = getattr(signal, name, None)  # SIGHUP is POSIX
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def begin_work() -> None:
    """From here on there may be something to tidy up: a signal raises `Interrupted`."""
    _state.at_once = False


def let_pass(error: BaseException) -> None:
    """Raise an error again if the handler of a signal raised it: it is not about what a library did meanwhile.

    For where whatever a library raises becomes an error of ours. An error that the library gives as the cause of its
    own is raised likewise.
    """
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    cause: BaseException | None = error
    while cause is not None:
        place = cause.__traceback__
        while place is not None:
            if place.tb_frame.f_code in handlers:
                raise cause
            place = place.tb_next
        cause = cause.__cause__


def _code(handler: Any) -> CodeType | None:
    """What runs as a signal's handler; None if it is not Python."""
    while isinstance(handler, partial):
        handler = handler.func
    if not hasattr(handler, "__code__"):
        handler = getattr(handler, "__call__", None)  # noqa: B004  # an object's
    return getattr(handler, "__code__", None)


def received() -> int | None:
    """The signal that ended the block of `handled`; None if there was none."""
    return _state.last


def describe(number: int) -> str:
    """What to tell about a signal."""
    return _WORDS[signal.Signals(number).name]


@contextmanager
def shielded() -> Iterator[None]:
    """A short block that a signal does not break: it is raised at the block's end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1
        if not _state.shields and (number := _state.waiting) is not None:
            _state.waiting = None
            _raise(number)


def _handle(number: int, frame: FrameType | None) -> None:
    del frame
    if _state.at_once:
        os.write(2, f"interrupted: {describe(number)}\n".encode())
        os._exit(128 + number)
    if _state.shields:
        _state.waiting = _state.waiting or number
    else:
        _raise(number)


def _raise(number: int) -> None:
    if _state.last is not None and time.monotonic() - _state.raised < MEANT_AS_ONE:
        return
    _state.last, _state.raised = number, time.monotonic()
    raise Interrupted(number)
