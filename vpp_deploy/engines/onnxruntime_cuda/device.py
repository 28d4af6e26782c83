"""ONNX Runtime with inputs, outputs and state bound to device memory (its IO binding)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import onnxruntime

from vpp_deploy.bundle.manifest import DType
from vpp_deploy.engines.device import Buffer, Graph, Queue
from vpp_deploy.engines.onnxruntime.sessions import Session, translated
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import DeviceError

_log = logging.getLogger(__name__)


class OnnxRuntimeDevice:
    """A device as ONNX Runtime sees it. Its copies and runs are done when they return, so queues are nothing.

    Args:
        name: `cuda` or `cpu`.
        index: which of them.
        tf32: let CUDA's libraries compute in TF32, unless another device of this process does not.
    """

    captures = asynchronous = False

    def __init__(self, name: str, index: int = 0, *, tf32: bool = False) -> None:
        self.name, self._index = name, index
        if name == "cuda":
            if not tf32:
                # cuBLAS follows the provider's option, cuDNN this; they look when they start, so before that.
                os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
            _load_libraries()

    def current(self) -> AbstractContextManager[object]:
        """Nothing: every session and every value has its device."""
        return nullcontext()

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """An `OrtValue`."""
        with translated(DeviceError, f"cannot allocate {list(shape)} on {self.name}"):
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(shape), np.dtype(dtype), self.name, self._index
            )

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Host memory."""
        return np.empty(shape, dtype)

    def queue(self) -> Queue:
        """Nothing."""
        return None

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Copy from host memory."""
        with translated(DeviceError, f"cannot copy to {self.name}"):
            target.update_inplace(source)

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Copy into host memory."""
        with translated(DeviceError, f"cannot copy from {self.name}"):
            target[...] = source.numpy()

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Copy on the device, by way of the host."""
        with translated(DeviceError, f"cannot copy on {self.name}"):
            target.update_inplace(source.numpy())

    def follow(self, queue: Queue, other: Queue) -> None:
        """Nothing to wait for."""

    def synchronize(self, queue: Queue) -> None:
        """Nothing to wait for."""

    def capture(self, queue: Queue, work: Callable[[], None]) -> Graph:
        """Never."""
        raise DeviceError("ONNX Runtime does not capture here")

    def launch(self, graph: Graph, queue: Queue) -> None:
        """Never."""
        raise DeviceError("ONNX Runtime does not capture here")


def _load_libraries() -> None:
    """Have CUDA and cuDNN loaded from their wheels, where there are some; nothing else would look for them there.

    What is missing is not an error yet: the system may have it, and the provider says so if not.
    """
    with redirect_stdout(StringIO()) as said:  # what it cannot load it prints, among the results
        onnxruntime.preload_dlls()
    if said.getvalue():
        _log.info("ONNX Runtime: %s", " ".join(said.getvalue().split()))


class OnnxRuntimeContext:
    """One stream's bindings of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._binding: Any = session.native.io_binding()
        self._input_names = {tensor.name for tensor in session.native.get_inputs()}
        self._inputs: dict[str, Buffer] = {}

    def bind(self, name: str, buffer: Buffer) -> None:
        """Bind an input or an output."""
        if name in self._input_names:
            self._inputs[name] = buffer
            return
        with self._session.translated(f"cannot bind {name}"):
            self._binding.bind_ortvalue_output(name, buffer)

    def enqueue(self, queue: Queue) -> None:
        """Run. Inputs are bound each time: what a node on the processor reads is copied to it when it is bound."""
        with self._session.translated("cannot run its graph"):
            for name, buffer in self._inputs.items():
                self._binding.bind_ortvalue_input(name, buffer)
            self._binding.synchronize_inputs()
            self._session.native.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
