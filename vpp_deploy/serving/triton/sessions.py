"""Streams of Triton's clients as a pool runs them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.serving.triton.frames import StreamFrame
from vpp_deploy.serving.triton.snapshots import SnapshotStore
from vpp_deploy.tasks.segmentation.model import SegmentationModel
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import SessionState

_log = logging.getLogger(__name__)


class StreamModel:
    """What a `SessionPool` takes its sessions from.

    Args:
        model: any.
        store: for snapshots; None makes none.
        every: frames from one snapshot to the next.
    """

    def __init__(self, model: SegmentationModel, store: SnapshotStore | None = None, every: int = 1) -> None:
        self.model, self.store, self.every = model, store, every

    def session(self) -> StreamSession:
        """The session of a new stream."""
        return StreamSession(self)


class StreamSession:
    """One stream: `StreamFrame`s in, results out. Not thread-safe.

    Args:
        parent: what it is one of.
    """

    def __init__(self, parent: StreamModel) -> None:
        self._parent = parent
        self._stream = parent.model.session()
        self._next = 0

    def __call__(self, frame: StreamFrame) -> FrameResult:
        """Process the next frame, and store a snapshot when it is time. A snapshot that fails is logged.

        Raises:
            UsageError, VideoError: it is cancelled, or no picture.
            EngineOutputError: the engine gives NaN or infinity.
        """
        if frame.is_cancelled():
            raise UsageError(f"stream {frame.stream!r:.80}: the client has cancelled this frame")
        result = self._stream.run(frame.at(self._next, self._parent.model.frame_size))
        self._next += 1
        store = self._parent.store
        if store is not None and self._next % self._parent.every == 0:
            number = result.index if frame.details.number is None else frame.details.number
            try:
                store.save(frame.stream, number, self._stream.snapshot().to_bytes())
            except OutputError as error:  # the frame has its result all the same
                _log.error("stream %.80r: %s", frame.stream, error, extra={"stream": frame.stream})
        return replace(result, frame=None)  # the pool keeps the last result: not with its picture

    def snapshot(self) -> SessionState:
        """Everything that it remembers."""
        return self._stream.snapshot()

    def restore(self, state: Any) -> None:
        """Continue from a snapshot, or its bytes.

        Raises:
            UsageError: it is of another bundle, or damaged.
        """
        if not isinstance(state, SessionState):
            state = SessionState.from_bytes(state)
        self._stream.restore(state)
        self._next = int(state.last_index) + 1
