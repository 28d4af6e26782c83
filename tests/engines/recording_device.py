"""A device in host memory that writes down what is asked of it, and computes with ONNX Runtime when its queue runs.

Queued work waits until a queue is synchronised, as on a GPU, so that a missing dependency or a buffer that is used too
early gives wrong results here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vpp_deploy.errors import DeviceError

Work = Callable[[], None]


@dataclass
class Queue:
    """Work that waits, and the queues' clock."""

    name: int
    waiting: list[Work] = field(default_factory=list)


class RecordingDevice:
    """See the module's text. `log` has one entry for every call: its name and what it was about."""

    name = "recording"
    asynchronous = True

    def __init__(self, captures: bool = True, refuses_capture: bool = False) -> None:
        self.captures, self._refuses = captures, refuses_capture
        self.log: list[tuple[Any, ...]] = []
        self.memory: dict[int, np.ndarray] = {}
        self._queues = self._current = 0
        self._capturing: list[Work] | None = None

    @contextmanager
    def current(self) -> Iterator[None]:
        self._current += 1
        try:
            yield
        finally:
            self._current -= 1

    def demand_current(self) -> None:
        """A vendor's library would use whatever device the thread has chosen."""
        assert self._current, "the device is not the thread's current one"

    def allocate(self, shape: tuple[int, ...], dtype: str) -> int:
        address = 1000 + len(self.memory)
        self.memory[address] = np.full(shape, 0x55, np.uint8).astype(dtype)
        self.log.append(("allocate", address))
        return address

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.zeros(shape, dtype)

    def queue(self) -> Queue:
        self._queues += 1
        return Queue(self._queues)

    def upload(self, target: int, source: np.ndarray, queue: Queue) -> None:
        self.log.append(("upload", target, queue.name))
        self._put(queue, lambda: np.copyto(self.memory[target], source))

    def download(self, target: np.ndarray, source: int, queue: Queue) -> None:
        self.log.append(("download", source, queue.name))
        self._put(queue, lambda: np.copyto(target, self.memory[source]))

    def download_rows(self, target: np.ndarray, source: int, rows: Sequence[int], queue: Queue) -> None:
        self.log.append(("download_rows", source, tuple(rows), queue.name))
        self._put(queue, lambda: np.copyto(target[: len(rows)], self.memory[source][list(rows)]))

    def copy(self, target: int, source: int, queue: Queue) -> None:
        self.log.append(("copy", target, source, queue.name))
        self._put(queue, lambda: np.copyto(self.memory[target], self.memory[source]))

    def follow(self, queue: Queue, other: Queue) -> None:
        self.log.append(("follow", queue.name, other.name))
        self._put(queue, lambda: self._finish(other))

    def synchronize(self, queue: Queue) -> None:
        self.log.append(("synchronize", queue.name))
        self._finish(queue)

    def capture(self, queue: Queue, work: Work) -> list[Work]:
        self.log.append(("capture",))
        if self._refuses:
            raise DeviceError("it refuses to")
        self._capturing = []
        work()
        captured, self._capturing = self._capturing, None
        return captured

    def launch(self, graph: list[Work], queue: Queue) -> None:
        self.log.append(("launch", id(graph)))
        for work in graph:
            self._put(queue, work)

    def enqueued(self, queue: Queue, work: Work) -> None:
        """A context's run."""
        if self._capturing is not None:
            self._capturing.append(work)
        else:
            self._put(queue, work)

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[0] == name]

    def _put(self, queue: Queue, work: Work) -> None:
        assert self._capturing is None, "only a context's run may be captured"
        queue.waiting.append(work)

    def _finish(self, queue: Queue) -> None:
        while queue.waiting:
            queue.waiting.pop(0)()


class RecordingContext:
    """A session of ONNX Runtime that reads and writes the recording device's memory."""

    capturable = True

    def __init__(self, device: RecordingDevice, session: Any) -> None:
        device.demand_current()
        self._device, self._session = device, session
        self._inputs = [tensor.name for tensor in session.get_inputs()]
        self._outputs = [tensor.name for tensor in session.get_outputs()]
        self._addresses: dict[str, int] = {}

    def bind(self, name: str, buffer: int) -> None:
        self._device.demand_current()
        assert name in (*self._inputs, *self._outputs), name
        self._device.log.append(("bind", name, buffer))
        self._addresses[name] = buffer

    def can_be_captured(self, queue: Queue) -> bool:
        self._device.demand_current()
        return self.capturable

    def enqueue(self, queue: Queue) -> None:
        self._device.demand_current()
        addresses = dict(self._addresses)  # a graph keeps the addresses that were bound when it was captured
        read = {addresses[name] for name in self._inputs}
        written = [addresses[name] for name in self._outputs]
        assert len(set(written)) == len(written), "two outputs in one buffer"
        assert not read & set(written), "a buffer is read and written by the same run"
        self._device.log.append(("enqueue", addresses))
        self._device.enqueued(queue, lambda: self._run(addresses))

    def _run(self, addresses: dict[str, int]) -> None:
        memory = self._device.memory
        feed = {name: memory[addresses[name]] for name in self._inputs}
        for name, value in zip(self._outputs, self._session.run(self._outputs, feed), strict=True):
            np.copyto(memory[addresses[name]], value)
