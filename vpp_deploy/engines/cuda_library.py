"""What `CudaDevice` needs of a library that calls the CUDA driver, and which library that is on this machine."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, Protocol

from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import DependencyError, DeviceError

DISTRIBUTIONS: Final = ("cuda-bindings", "pycuda")
"""On the package index, the best one first: NVIDIA's own has CUDA graphs and wheels for every platform."""
_ADAPTERS: Final = {
    "cuda.bindings": "vpp_deploy.engines.cuda_bindings:CudaBindings",
    "pycuda": "vpp_deploy.engines.pycuda_library:PyCuda",
}


class CudaError(Exception):
    """The driver refused a call; the message says which, and why.

    Attributes:
        out_of_memory: because memory ran out.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class Resource:
    """Something that the driver gave and must get back: memory, a stream, an event, a graph.

    Args:
        value: its address or handle.
        library: what the library itself calls it.
        give_back: takes that; with the context current, like every call.
    """

    def __init__(self, value: int, library: Any, give_back: Callable[[Any], None]) -> None:
        self.value, self.library, self._give_back = value, library, give_back

    def close(self) -> None:
        """Give it back; once.

        Raises:
            CudaError: the driver does not take it.
        """
        library, self.library = self.library, None
        self._give_back(library)


class CudaLibrary(Protocol):
    """The primary context of one GPU, retained. Its methods raise CudaError.

    The driver asks for a context that is current in the calling thread: between `push` and `pop`, any thread may call
    the others. Streams are queues of work; what takes one returns before the work is done.
    """

    name: str
    """Of the GPU."""
    captures: bool
    """Whether the library has CUDA graphs."""

    def push(self) -> None:
        """Make the context the thread's current one."""
        ...

    def pop(self) -> None:
        """Make the one current again that was before."""
        ...

    def close(self) -> None:
        """Release the context. Nothing else may be called from then on."""
        ...

    def memory(self, nbytes: int) -> Resource:
        """Device memory."""
        ...

    def pinned(self, nbytes: int) -> Resource:
        """Page-locked host memory."""
        ...

    def stream(self) -> Resource:
        """A stream that does not wait for the default stream."""
        ...

    def event(self) -> Resource:
        """An event without a time."""
        ...

    def upload(self, target: int, source: Array, stream: Resource) -> None:
        """Copy page-locked memory to the device."""
        ...

    def download(self, target: Array, source: int, stream: Resource) -> None:
        """Copy from the device into page-locked memory."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: Resource) -> None:
        """Copy on the device."""
        ...

    def record(self, event: Resource, stream: Resource) -> None:
        """Have the event happen when the stream gets here."""
        ...

    def wait(self, stream: Resource, event: Resource) -> None:
        """Have the stream go on when the event has happened."""
        ...

    def synchronize(self, stream: Resource) -> None:
        """Wait until the stream is done."""
        ...

    def begin_capture(self, stream: Resource) -> None:
        """From now on, note down what is put into the stream, instead of doing it."""
        ...

    def end_capture(self, stream: Resource) -> Resource:
        """The graph of what was noted down, by the thread that began."""
        ...

    def instantiate(self, graph: Resource) -> Resource:
        """An executable of a graph, which does not need the graph any more."""
        ...

    def launch(self, executable: Resource, stream: Resource) -> None:
        """Put all of a graph into a stream."""
        ...


def open_library(index: int) -> CudaLibrary:
    """The primary context of a GPU, by way of the best library that is installed.

    Args:
        index: which GPU, as CUDA counts those that it may see.

    Raises:
        DependencyError: no library is installed.
        DeviceError: there is no such GPU, or no driver, or the library does not load.
    """
    installed = next((adapter for module, adapter in _ADAPTERS.items() if _found(module)), None)
    if installed is None:
        raise DependencyError(
            f"neither {' nor '.join(DISTRIBUTIONS)} is installed, and engines on a GPU need one: "
            f"pip install {DISTRIBUTIONS[0]}"
        )
    module, _, name = installed.partition(":")
    try:
        library: CudaLibrary = getattr(importlib.import_module(module), name)(index)
    except CudaError as error:
        raise DeviceError(f"GPU {index} cannot be used ({error}); see `vpp-deploy doctor`") from error
    except (ImportError, OSError, RuntimeError) as error:  # without a driver there is no libcuda
        raise DeviceError(
            f"CUDA does not load ({' '.join(str(error).split())}); is there an NVIDIA driver? See `vpp-deploy doctor`"
        ) from error
    return library


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is not there, or it is None in `sys.modules`
        return False


class CudaVersion(NamedTuple):
    """A version of CUDA."""

    major: int
    minor: int

    @classmethod
    def of(cls, number: int) -> CudaVersion:
        """From CUDA's own number for it, such as 12080 for 12.8."""
        return cls(number // 1000, number % 1000 // 10)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def driver_cuda() -> CudaVersion | None:
    """The newest CUDA that the driver here knows; None without a driver."""
    number = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    return CudaVersion.of(number.value) if driver.cuDriverGetVersion(ctypes.byref(number)) == 0 else None
