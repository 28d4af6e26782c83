"""The CUDA driver through pycuda, for machines that have it and not `cuda-bindings`. Not yet run on a GPU.

pycuda has no CUDA graphs. Its objects free themselves, but only where their context is current or by the thread that
made the context; elsewhere they leak with a warning (`scoped_context_activation` in pycuda's src/cpp/cuda.hpp). So
everything is given back while the context is current.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pycuda.driver as cuda

from vpp_deploy.engines.cuda_library import CudaError, Resource
from vpp_deploy.engines.protocols import Array

_log = logging.getLogger(__name__)

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda does not name


class PyCuda:
    """See `CudaLibrary`.

    Args:
        index: which GPU.

    Raises:
        CudaError: the driver has no such GPU, or does not start.
    """

    captures = False

    def __init__(self, index: int) -> None:
        with _failures():
            self._context, self.name = _primary_context(index)

    def push(self) -> None:
        """Make the context the thread's current one."""
        with _failures():
            self._context.push()

    def pop(self) -> None:
        """Make the one current again that was before."""
        with _failures():
            cuda.Context.pop()

    def close(self) -> None:
        """Nothing: the process keeps its reference to the context, see `_primary_context`."""

    def memory(self, nbytes: int) -> Resource:
        """Device memory."""
        with _failures():
            allocation = cuda.mem_alloc(nbytes)
        return Resource(int(allocation), allocation, lambda allocation: allocation.free())

    def pinned(self, nbytes: int) -> Resource:
        """Page-locked host memory."""
        with _failures():
            block = cuda.pagelocked_empty(nbytes, np.uint8)
        return Resource(block.ctypes.data, block.base, lambda allocation: allocation.free())

    def stream(self) -> Resource:
        """A stream that does not wait for the default stream."""
        with _failures():
            stream = cuda.Stream(_NON_BLOCKING)
        return Resource(stream.handle, stream, _finish)

    def event(self) -> Resource:
        """An event without a time."""
        with _failures():
            event = cuda.Event(cuda.event_flags.DISABLE_TIMING)
        return Resource(0, event, _drop)  # pycuda does not tell the handle

    def upload(self, target: int, source: Array, stream: Resource) -> None:
        """Copy page-locked memory to the device."""
        with _failures():
            cuda.memcpy_htod_async(target, source, stream.library)

    def download(self, target: Array, source: int, stream: Resource) -> None:
        """Copy from the device into page-locked memory."""
        with _failures():
            cuda.memcpy_dtoh_async(target, source, stream.library)

    def copy(self, target: int, source: int, nbytes: int, stream: Resource) -> None:
        """Copy on the device."""
        with _failures():
            cuda.memcpy_dtod_async(target, source, nbytes, stream.library)

    def record(self, event: Resource, stream: Resource) -> None:
        """Have the event happen when the stream gets here."""
        with _failures():
            event.library.record(stream.library)

    def wait(self, stream: Resource, event: Resource) -> None:
        """Have the stream go on when the event has happened."""
        with _failures():
            stream.library.wait_for_event(event.library)

    def synchronize(self, stream: Resource) -> None:
        """Wait until the stream is done."""
        with _failures():
            stream.library.synchronize()

    def begin_capture(self, stream: Resource) -> None:
        """Never."""
        raise _no_graphs()

    def end_capture(self, stream: Resource) -> Resource:
        """Never."""
        raise _no_graphs()

    def instantiate(self, graph: Resource) -> Resource:
        """Never."""
        raise _no_graphs()

    def launch(self, executable: Resource, stream: Resource) -> None:
        """Never."""
        raise _no_graphs()


@cache
def _primary_context(index: int) -> tuple[Any, str]:
    """Retained once in a process: pycuda can release it only by the thread that retained it, and leaves it current."""
    cuda.init()
    device = cuda.Device(index)
    context = device.retain_primary_context()
    _log.warning("pycuda has no CUDA graphs, so every frame is launched piece by piece; pip install cuda-bindings")
    atexit.register(context.detach)  # its destructor would call what destroys contexts that are not primary
    return context, device.name()


def _finish(stream: Any) -> None:
    """Before it is dropped: memory that it uses is freed next."""
    with _failures():
        stream.synchronize()


def _drop(library: Any) -> None:
    """Its destructor does it, as soon as the caller lets go."""


def _no_graphs() -> CudaError:
    return CudaError("pycuda has no CUDA graphs")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except cuda.Error as error:
        raise CudaError(str(error), out_of_memory=isinstance(error, cuda.MemoryError)) from error
