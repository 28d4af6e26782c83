"""Denormal numbers as zero, in the calling thread, while an engine works.

A softmax over masked logits, or over logits far apart, is full of numbers below 1.2e-38, and with those a product takes
up to fifty times as long on x86. The runtimes' own options do it in the threads that they make, but not in the one that
calls them (ONNX Runtime, but for the first session of a process), or there for good, for NumPy too (OpenVINO).
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import numpy as np

_FLUSH: Final = 0x8040
"""In the register MXCSR: results to zero (bit 15), operands as zero (bit 6); Intel's manual, volume 1, 10.2.3."""
_MXCSR: Final = 7
"""Where the register is in C's `fenv_t` on x86-64 Linux, in words of 32 bits."""
_Environment = ctypes.c_uint32 * 32
"""More than is known to be used."""


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """A block in which this thread takes denormals for zero; as before afterwards.

    Without effect where they are not `controlled`.
    """
    library = _library()
    if library is None:
        yield
        return
    before = _environment(library)
    try:
        _set_flushing(library, before)
        yield
    finally:
        library.fesetenv(before)


def controlled() -> bool:
    """Whether that can be done here: on x86-64 Linux. Elsewhere it is not known how; 64-bit ARM does not need it."""
    return _library() is not None


@cache
def _library() -> Any:
    """The C library, if its floating-point environment is seen to be as we know it; else None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "fegetenv"):
        return None
    before = _environment(library)
    _set_flushing(library, before)
    half = float(np.float32(2.0**-126) * np.float32(0.5))
    library.fesetenv(before)
    restored = _environment(library)[_MXCSR] == before[_MXCSR]
    return library if half == 0 and restored else None


def _environment(library: Any) -> Any:
    environment = _Environment()
    library.fegetenv(environment)
    return environment


def _set_flushing(library: Any, before: Any) -> None:
    environment = _Environment(*before)
    environment[_MXCSR] |= _FLUSH
    library.fesetenv(environment)
