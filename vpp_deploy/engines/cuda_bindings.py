"""The CUDA driver through NVIDIA's own bindings (`cuda-bindings`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cuda.bindings import driver

from vpp_deploy.engines.cuda_library import CudaError, Resource
from vpp_deploy.engines.protocols import Array

_NAME_LENGTH = 256


class CudaBindings:
    """See `CudaLibrary`.

    Args:
        index: which GPU.

    Raises:
        CudaError: the driver has no such GPU, or does not start.
        RuntimeError: there is no driver.
    """

    captures = True

    def __init__(self, index: int) -> None:
        _call(driver.cuInit, 0)
        self._device = _call(driver.cuDeviceGet, index)
        self.name: str = _call(driver.cuDeviceGetName, _NAME_LENGTH, self._device).partition(b"\0")[0].decode()
        self._context = _call(driver.cuDevicePrimaryCtxRetain, self._device)

    def push(self) -> None:
        """Make the context the thread's current one."""
        _call(driver.cuCtxPushCurrent, self._context)

    def pop(self) -> None:
        """Make the one current again that was before."""
        _call(driver.cuCtxPopCurrent)

    def close(self) -> None:
        """Release the context."""
        _call(driver.cuDevicePrimaryCtxRelease, self._device)

    def memory(self, nbytes: int) -> Resource:
        """Device memory."""
        return _resource(_call(driver.cuMemAlloc, nbytes), driver.cuMemFree)

    def pinned(self, nbytes: int) -> Resource:
        """Page-locked host memory."""
        return _resource(_call(driver.cuMemHostAlloc, nbytes, 0), driver.cuMemFreeHost)

    def stream(self) -> Resource:
        """A stream that does not wait for the default stream."""
        flag = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        stream = _call(driver.cuStreamCreate, int(flag))
        return Resource(int(stream), stream, _destroy_stream)

    def event(self) -> Resource:
        """An event without a time."""
        flag = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
        return _resource(_call(driver.cuEventCreate, int(flag)), driver.cuEventDestroy)

    def upload(self, target: int, source: Array, stream: Resource) -> None:
        """Copy page-locked memory to the device."""
        _call(driver.cuMemcpyHtoDAsync, target, source.ctypes.data, source.nbytes, stream.library)

    def download(self, target: Array, source: int, stream: Resource) -> None:
        """Copy from the device into page-locked memory."""
        _call(driver.cuMemcpyDtoHAsync, target.ctypes.data, source, target.nbytes, stream.library)

    def copy(self, target: int, source: int, nbytes: int, stream: Resource) -> None:
        """Copy on the device."""
        _call(driver.cuMemcpyDtoDAsync, target, source, nbytes, stream.library)

    def record(self, event: Resource, stream: Resource) -> None:
        """Have the event happen when the stream gets here."""
        _call(driver.cuEventRecord, event.library, stream.library)

    def wait(self, stream: Resource, event: Resource) -> None:
        """Have the stream go on when the event has happened."""
        _call(driver.cuStreamWaitEvent, stream.library, event.library, 0)

    def synchronize(self, stream: Resource) -> None:
        """Wait until the stream is done."""
        _call(driver.cuStreamSynchronize, stream.library)

    def begin_capture(self, stream: Resource) -> None:
        """Note down what this thread puts into the stream; what other threads do meanwhile does not disturb it."""
        _call(
            driver.cuStreamBeginCapture,
            stream.library,
            driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
        )

    def end_capture(self, stream: Resource) -> Resource:
        """The graph of what was noted down."""
        return _resource(_call(driver.cuStreamEndCapture, stream.library), driver.cuGraphDestroy)

    def instantiate(self, graph: Resource) -> Resource:
        """An executable of a graph."""
        return _resource(_call(driver.cuGraphInstantiate, graph.library, 0), driver.cuGraphExecDestroy)

    def launch(self, executable: Resource, stream: Resource) -> None:
        """Put all of a graph into a stream."""
        _call(driver.cuGraphLaunch, executable.library, stream.library)


def _resource(handle: Any, destroy: Callable[[Any], Any]) -> Resource:
    return Resource(int(handle), handle, partial(_call, destroy))


def _destroy_stream(stream: Any) -> None:
    """When its work is done: memory that it uses is freed next."""
    try:
        _call(driver.cuStreamSynchronize, stream)
    finally:
        _call(driver.cuStreamDestroy, stream)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the driver gives besides its status."""
    status, *values = function(*arguments)
    if status != driver.CUresult.CUDA_SUCCESS:
        known, text = driver.cuGetErrorString(status)
        reason = text.decode() if known == driver.CUresult.CUDA_SUCCESS and text else f"error {int(status)}"
        raise CudaError(
            f"{function.__name__} failed: {reason}", out_of_memory=status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
        )
    return values[0] if values else None
