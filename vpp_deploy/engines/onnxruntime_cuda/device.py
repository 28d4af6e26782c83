"""ONNX Runtime with inputs, outputs and state bound to device memory (its IO binding)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from vpp_deploy.bundle.manifest import DType
from vpp_deploy.engines.device import Buffer, Graph, Queue
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import DeviceError


class OnnxRuntimeDevice:
    """A device as ONNX Runtime sees it. Its copies and runs are done when they return, so queues are nothing.

    Args:
        name: `cuda` or `cpu`.
        index: which of them.
    """

    captures = False

    def __init__(self, name: str, index: int = 0) -> None:
        self.name, self._index = name, index

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """An `OrtValue`."""
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.dtype(dtype), self.name, self._index)

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Host memory."""
        return np.empty(shape, dtype)

    def queue(self) -> Queue:
        """Nothing."""
        return None

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Copy from host memory."""
        target.update_inplace(source)

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Copy into host memory."""
        target[...] = source.numpy()

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Copy on the device, by way of the host."""
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


class OnnxRuntimeContext:
    """One stream's bindings of a session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._inputs = {tensor.name for tensor in session.get_inputs()}

    def bind(self, name: str, buffer: Buffer) -> None:
        """Bind an input or an output."""
        if name in self._inputs:
            self._binding.bind_ortvalue_input(name, buffer)
        else:
            self._binding.bind_ortvalue_output(name, buffer)

    def enqueue(self, queue: Queue) -> None:
        """Run."""
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
