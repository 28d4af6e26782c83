"""One stream of a pool: its session, the frames that wait for it, and their order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

from vpp_deploy.errors import StreamError, UsageError, VideoError

INPUT_ERRORS: Final = (UsageError, VideoError)
"""Of a frame that cannot be used. They are raised before the session changes, so the stream goes on."""


class Session(Protocol):
    """What a stream runs; `SegmentationModel.session()` gives one."""

    def __call__(self, frame: Any) -> Any:
        """The result of the next frame."""
        ...

    def snapshot(self) -> Any:
        """Everything that it remembers."""
        ...

    def restore(self, state: Any) -> None:
        """Continue from a snapshot."""
        ...


@dataclass
class Task:
    """A frame that waits, or a wish for a snapshot.

    Attributes:
        future: of the result.
        frame: what the session gets.
        number: that the client counts it as; None if it does not count.
        end: it is the stream's last.
        replaceable: a newer one may take its place.
        snapshot: nothing is run; the result is the session's snapshot.
        given: when it was given to the pool, by the monotonic clock.
        session: of a first frame behind the last one of the stream before: what runs from it on.
    """

    future: Future[Any]
    frame: Any = None
    number: int | None = None
    end: bool = False
    replaceable: bool = False
    snapshot: bool = False
    given: float = field(default_factory=monotonic)
    session: Session | None = None


@dataclass
class Stream:
    """A stream, from its start to its end. All but `run` belongs to the pool's lock.

    Attributes:
        name: as the client calls it.
        session: what runs it.
        waiting: in the order in which they came.
        busy: a worker has one of its frames.
        used: when it last did anything, by the monotonic clock.
        failed: what broke it; its frames are refused from then on.
    """

    name: str
    session: Session
    waiting: deque[Task] = field(default_factory=deque)
    busy: bool = False
    used: float = field(default_factory=monotonic)
    failed: BaseException | None = None
    _last_number: int | None = None
    _last_result: Any = None

    @property
    def answer(self) -> tuple[int, Any] | None:
        """Number and result of the last frame; None if it has no number, or the stream broke."""
        return None if self._last_number is None or self.failed is not None else (self._last_number, self._last_result)

    def has_answered(self, number: int | None) -> bool:
        """Whether the last frame has this number."""
        return self.answer is not None and self.answer[0] == number

    @property
    def idle(self) -> bool:
        """Nothing of it runs or waits."""
        return not self.busy and not self.waiting

    def begin(self, session: Session) -> None:
        """Begin anew."""
        self.session, self.failed = session, None
        self._last_number = self._last_result = None

    def run(self, task: Task) -> Any:
        """The result of a frame; by one worker at a time.

        Raises:
            StreamError: the stream broke earlier, or the frame's number is not the next one.
            VppDeployError: whatever the session raises.
        """
        if self.failed is not None:
            raise StreamError(f"stream {self.name!r:.80} broke ({self.failed}); start it anew") from self.failed
        if task.snapshot:
            return self.session.snapshot()
        if task.number is not None and self._last_number is not None:
            if task.number == self._last_number:  # a client that has missed the answer asks again
                return self._last_result
            if task.number != self._last_number + 1:
                task.end = False  # it has overtaken another, and both are still to come
                raise StreamError(
                    f"stream {self.name!r:.80}: frame {task.number} comes after frame {self._last_number}; send frame "
                    f"{self._last_number + 1}, or start the stream anew"
                )
        try:
            result = self.session(task.frame)
        except INPUT_ERRORS:
            raise
        except BaseException as error:
            self.failed = error
            raise
        if task.number is not None:
            self._last_number, self._last_result = task.number, result
        return result
