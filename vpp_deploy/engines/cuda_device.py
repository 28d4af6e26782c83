"""CUDA memory, streams and graphs through pycuda and the driver. Not yet run on a GPU.

pycuda has memory, pinned host memory, streams and events, but no graphs: those are four functions of the driver's own
library.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vpp_deploy.bundle.manifest import DType
from vpp_deploy.engines.device import Buffer, Graph, Queue
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import DependencyError, DeviceError

_THREAD_LOCAL: Final = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads' calls do not disturb a capture."""


_NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: the default stream is not waited for."""


@dataclass(frozen=True)
class CudaMemory:
    """pycuda's allocation, which frees itself, and its size in bytes."""

    allocation: Any
    nbytes: int

    @property
    def address(self) -> int:
        """Where it is on the device."""
        return int(self.allocation)


class CudaDevice:
    """An NVIDIA GPU. Its buffers are pycuda's allocations, its queues are CUDA streams, on the primary context.

    Args:
        index: which GPU.

    Raises:
        DependencyError: pycuda is not installed or does not load.
        DeviceError: there is no GPU or no driver.
    """

    captures = True

    def __init__(self, index: int = 0) -> None:
        self._cuda = _pycuda()
        try:
            self._cuda.init()
            device = self._cuda.Device(index)
            self._context = device.retain_primary_context()
            self.name: str = device.name()
        except self._cuda.Error as error:
            raise DeviceError(f"GPU {index} cannot be used ({error}); see `vpp-deploy doctor`") from error
        self._driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """Device memory.

        Raises:
            DeviceError: there is not enough of it.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._current():
            try:
                return CudaMemory(self._cuda.mem_alloc(size), size)
            except self._cuda.MemoryError as error:
                raise DeviceError(
                    f"{self.name} has no {size} bytes of memory left ({error}); close other programs or streams"
                ) from error

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Page-locked host memory."""
        with self._current():
            memory: Array = self._cuda.pagelocked_empty(shape, np.dtype(dtype))
            return memory

    def queue(self) -> Queue:
        """A CUDA stream."""
        with self._current():
            return self._cuda.Stream(_NON_BLOCKING)

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Queue a copy from pinned host memory."""
        with self._current():
            self._cuda.memcpy_htod_async(target.allocation, source, queue)

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Queue a copy into pinned host memory."""
        with self._current():
            self._cuda.memcpy_dtoh_async(target, source.allocation, queue)

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Queue a copy on the device."""
        with self._current():
            self._cuda.memcpy_dtod_async(target.allocation, source.allocation, target.nbytes, queue)

    def follow(self, queue: Queue, other: Queue) -> None:
        """Let the queue wait for an event that is recorded in the other one now."""
        with self._current():
            event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
            event.record(other)
            queue.wait_for_event(event)

    def synchronize(self, queue: Queue) -> None:
        """Wait until everything in the queue is done."""
        with self._current():
            queue.synchronize()

    def capture(self, queue: Queue, work: Callable[[], None]) -> Graph:
        """An executable CUDA graph (`CUgraphExec`) of what `work` puts into the stream.

        Raises:
            DeviceError: the driver does not capture it.
        """
        stream, graph, executable = ctypes.c_void_p(queue.handle), ctypes.c_void_p(), ctypes.c_void_p()
        with self._current():
            self._call("cuStreamBeginCapture_v2", stream, ctypes.c_int(_THREAD_LOCAL))
            try:
                try:
                    work()
                finally:
                    self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
                self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
            finally:
                if graph:
                    self._driver.cuGraphDestroy(graph)
        return executable

    def launch(self, graph: Graph, queue: Queue) -> None:
        """Queue a graph."""
        with self._current():
            self._call("cuGraphLaunch", graph, ctypes.c_void_p(queue.handle))

    def _call(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._driver, function)(*arguments):
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(status, ctypes.byref(text))
            reason = text.value.decode() if text.value else f"error {status}"
            raise DeviceError(f"{function} failed on {self.name} ({reason}); start again, and see: nvidia-smi")

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Any thread may call: the GPU's context is made the thread's own for as long as it takes."""
        self._context.push()
        try:
            yield
        except self._cuda.Error as error:
            raise DeviceError(f"{self.name}: {error}; start again, and see: nvidia-smi") from error
        finally:
            self._cuda.Context.pop()


def _pycuda() -> Any:
    install = "pip install vpp-deploy[tensorrt]"
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        package = (error.name or "pycuda").partition(".")[0]
        raise DependencyError(f"{package} is not installed, and engines on a GPU need it: {install}") from error
    except ImportError as error:  # without a driver there is no libcuda
        raise DeviceError(
            f"pycuda does not load ({error}); is there an NVIDIA driver? See `vpp-deploy doctor`"
        ) from error
    return pycuda.driver
