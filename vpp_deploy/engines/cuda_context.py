"""The context of a GPU, made current for as long as a call takes, and what lives in it, given back in time."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import TypeVar

from vpp_deploy.engines.cuda_library import CudaError, CudaLibrary, Resource
from vpp_deploy.errors import DeviceError

_log = logging.getLogger(__name__)

Owner = TypeVar("Owner")


class CudaContext:
    """A primary context. It is released when neither the device nor anything that lives in it is referred to any more.

    Args:
        library: with the context retained.
    """

    def __init__(self, library: CudaLibrary) -> None:
        self._library = library
        _when_dropped(self, library.close)

    @contextmanager
    def current(self) -> Iterator[CudaLibrary]:
        """The library, while the context is the calling thread's current one. Any thread may call.

        Raises:
            DeviceError: a call failed.
        """
        library = self._library
        try:
            library.push()
            try:
                yield library
            finally:
                library.pop()
        except CudaError as error:
            advice = "close other programs or streams" if error.out_of_memory else "start again, and see: nvidia-smi"
            raise DeviceError(f"{library.name}: {error}; {advice}") from error

    def keep(self, owner: Owner, resource: Resource) -> Owner:
        """The owner of a resource, which is given back when nothing refers to the owner any more."""
        _when_dropped(owner, self._release, resource)
        return owner

    def _release(self, resource: Resource) -> None:
        """In whichever thread the last reference went, perhaps by garbage collection in the middle of a capture."""
        if _thread.waiting is not None:
            _thread.waiting.append((self, resource))
            return
        try:
            with self.current():
                resource.close()
        except DeviceError as error:
            _log.warning("something on the GPU could not be given back (%s)", error)


class _Thread(local):
    waiting: list[tuple[CudaContext, Resource]] | None = None
    """What is to be given back when this thread's capture has ended; None while it has none."""


_thread = _Thread()


@contextmanager
def capturing() -> Iterator[None]:
    """While a thread captures, it must not free anything, on any GPU: that would break the capture.

    What is ours waits until the end. What destructors of a vendor's library free cannot, so no garbage is collected.
    """
    waiting = _thread.waiting = []
    try:
        with _garbage.kept():
            yield
    finally:
        _thread.waiting = None
        for context, resource in waiting:
            context._release(resource)


class _Garbage:
    """Keeps Python from collecting garbage, in as many threads as ask for it."""

    def __init__(self) -> None:
        self._lock, self._users, self._enabled = Lock(), 0, False

    @contextmanager
    def kept(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._enabled = gc.isenabled()
                gc.disable()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._enabled:
                    gc.enable()


_garbage = _Garbage()


def _when_dropped(owner: object, function: Callable[..., None], *arguments: object) -> None:
    """Not at the end of the process: the driver may be gone by then, and everything goes with it anyhow."""
    weakref.finalize(owner, function, *arguments).atexit = False
