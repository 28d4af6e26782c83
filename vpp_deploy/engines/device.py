"""What an engine stream needs of a device, and nothing more: memory, queues of work, and graphs of captured work.

The logic above it (`device_stream`) is the same for every device; what is below it is a few lines per library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from vpp_deploy.bundle.manifest import DType, GraphRole
from vpp_deploy.engines.protocols import Array

Buffer = Any
"""Device memory for one tensor; only the device that allocated it looks inside."""
Queue = Any
"""Work in order, as a CUDA stream."""
Graph = Any
"""Captured work that can be launched again."""


class Device(Protocol):
    """A device's memory and queues. Methods that take a queue return before the work is done; all raise DeviceError."""

    name: str
    captures: bool
    """Whether work can be captured in graphs at all."""
    asynchronous: bool
    """Whether the host goes on while queues work; otherwise what a queue is given is done at once."""

    def current(self) -> AbstractContextManager[object]:
        """While it lasts, what this thread asks of the vendor's libraries is about this device, and not another one."""
        ...

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """Device memory for a tensor. Its content is undefined."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Host memory that the device can read and write while the host goes on."""
        ...

    def queue(self) -> Queue:
        """A new queue."""
        ...

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Queue a copy from pinned host memory."""
        ...

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Queue a copy into pinned host memory."""
        ...

    def download_rows(self, target: Array, source: Buffer, rows: Sequence[int], queue: Queue) -> None:
        """Queue copies of rows, along the first axis, into consecutive ones of pinned host memory.

        Args:
            target: `[K, …]`, of the shape and type of the tensor but for its first axis.
            source: the tensor.
            rows: at most K indices into its first axis.
            queue: where to.
        """
        ...

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Queue a copy on the device."""
        ...

    def follow(self, queue: Queue, other: Queue) -> None:
        """Let what is queued from now on wait for what the other queue holds now."""
        ...

    def synchronize(self, queue: Queue) -> None:
        """Wait until everything in the queue is done."""
        ...

    def capture(self, queue: Queue, work: Callable[[], None]) -> Graph:
        """What `work` puts into the queue, as a graph; nothing is computed.

        Raises:
            DeviceError: something in it cannot be captured; it can still be queued piece by piece.
        """
        ...

    def launch(self, graph: Graph, queue: Queue) -> None:
        """Queue a graph."""
        ...


class Context(Protocol):
    """One stream's use of one graph of an engine: its bindings and its scratch memory. The device must be current."""

    def bind(self, name: str, buffer: Buffer) -> None:
        """Have an input or output live in this memory from now on."""
        ...

    def can_be_captured(self, queue: Queue) -> bool:
        """Whether a run can be captured in a graph, as far as the vendor's library knows beforehand."""
        ...

    def enqueue(self, queue: Queue) -> None:
        """Queue one run."""
        ...


CreateContext = Callable[[GraphRole], Context]
"""Makes a context for the graph of a role, while the device is current; weights are shared between contexts."""
