"""CUDA memory, streams and graphs of one GPU, given back by whichever thread lets go of them."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import prod

import numpy as np

from vpp_deploy.bundle.manifest import DType
from vpp_deploy.engines.cuda_context import CudaContext, capturing
from vpp_deploy.engines.cuda_library import CudaError, CudaLibrary, Resource, open_library
from vpp_deploy.engines.device import Buffer, Graph, Queue
from vpp_deploy.engines.protocols import Array

_log = logging.getLogger(__name__)


class CudaMemory:
    """Device memory, freed when nothing refers to it any more.

    Attributes:
        address: where it is on the device.
        nbytes: its size in bytes.
    """

    def __init__(self, resource: Resource, nbytes: int) -> None:
        self.address, self.nbytes = resource.value, nbytes


class CudaStream:
    """A CUDA stream, destroyed when nothing refers to it any more.

    Attributes:
        handle: its `CUstream`, as an integer.
    """

    def __init__(self, resource: Resource) -> None:
        self.handle, self.resource = resource.value, resource


class CudaGraph:
    """An executable CUDA graph (`CUgraphExec`), destroyed when nothing refers to it any more."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource


class CudaDevice:
    """An NVIDIA GPU, on its primary context. Thread-safe.

    Args:
        index: which GPU, as CUDA counts those that it may see.

    Raises:
        DependencyError: no library for CUDA is installed.
        DeviceError: there is no such GPU or no driver.
    """

    asynchronous = True

    def __init__(self, index: int = 0) -> None:
        library = open_library(index)
        self.name, self.captures = library.name, library.captures
        self._context = CudaContext(library)

    def current(self) -> AbstractContextManager[object]:
        """While it lasts, this GPU's primary context is the thread's own, whatever else the thread has chosen."""
        return self._context.current()

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """Device memory.

        Raises:
            DeviceError: there is not enough of it.
        """
        nbytes = _size(shape, dtype)
        with self._context.current() as library:
            resource = _allocated(library.memory, nbytes)
            return self._context.keep(CudaMemory(resource, nbytes), resource)

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Page-locked host memory. The array and all of its views hold it."""
        nbytes = _size(shape, dtype)
        with self._context.current() as library:
            resource = _allocated(library.pinned, nbytes)
            block = self._context.keep((ctypes.c_ubyte * nbytes).from_address(resource.value), resource)
        return np.ndarray(shape, np.dtype(dtype), buffer=memoryview(block))

    def queue(self) -> Queue:
        """A CUDA stream."""
        with self._context.current() as library:
            resource = library.stream()
            return self._context.keep(CudaStream(resource), resource)

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Queue a copy from pinned host memory."""
        with self._context.current() as library:
            library.upload(target.address, source, queue.resource)

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Queue a copy into pinned host memory."""
        with self._context.current() as library:
            library.download(target, source.address, queue.resource)

    def download_rows(self, target: Array, source: Buffer, rows: Sequence[int], queue: Queue) -> None:
        """Queue a copy of each row into pinned host memory."""
        with self._context.current() as library:
            for place, row in enumerate(rows):
                library.download(target[place], source.address + row * target[place].nbytes, queue.resource)

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Queue a copy on the device."""
        with self._context.current() as library:
            library.copy(target.address, source.address, target.nbytes, queue.resource)

    def follow(self, queue: Queue, other: Queue) -> None:
        """Let the queue wait for an event that is recorded in the other one now."""
        with self._context.current() as library:
            event = library.event()
            try:
                library.record(event, other.resource)
                library.wait(queue.resource, event)
            finally:
                event.close()  # what still waits for it is not disturbed

    def synchronize(self, queue: Queue) -> None:
        """Wait until everything in the queue is done."""
        with self._context.current() as library:
            library.synchronize(queue.resource)

    def capture(self, queue: Queue, work: Callable[[], None]) -> Graph:
        """An executable CUDA graph of what `work` puts into the stream.

        Raises:
            DeviceError: the driver does not capture it.
        """
        with self._context.current() as library, capturing():
            library.begin_capture(queue.resource)
            try:
                work()
            except BaseException:
                _abandon_capture(library, queue.resource)
                raise
            graph = library.end_capture(queue.resource)
            try:
                resource = library.instantiate(graph)
            finally:
                graph.close()
            return self._context.keep(CudaGraph(resource), resource)

    def launch(self, graph: Graph, queue: Queue) -> None:
        """Queue a graph."""
        with self._context.current() as library:
            library.launch(graph.resource, queue.resource)


def _abandon_capture(library: CudaLibrary, stream: Resource) -> None:
    try:
        library.end_capture(stream).close()
    except CudaError as error:  # what is raised already has broken the capture, and says more
        _log.debug("%s: %s", library.name, error)


def _allocated(allocate: Callable[[int], Resource], nbytes: int) -> Resource:
    try:
        return allocate(nbytes)
    except CudaError as error:
        raise CudaError(f"{error}, of {nbytes} bytes", out_of_memory=error.out_of_memory) from error


def _size(shape: tuple[int, ...], dtype: DType) -> int:
    """In bytes; the driver has no memory of size 0."""
    return max(1, prod(shape)) * np.dtype(dtype).itemsize
