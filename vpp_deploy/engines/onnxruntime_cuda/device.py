"""ONNX Runtime with inputs, outputs and state bound to device memory (its IO binding)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from io import StringIO
from itertools import count
from typing import Any, Final, TypeVar

import numpy as np
import onnxruntime

from vpp_deploy.bundle.manifest import DType
from vpp_deploy.engines.device import Buffer, Graph, Queue
from vpp_deploy.engines.onnxruntime.sessions import Session, translated
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import DeviceError

_log = logging.getLogger(__name__)

MOST_GRAPHS: Final = 128
"""How many runs are captured by one engine: ONNX Runtime frees none of their graphs before the engine goes."""
_NOT_CAPTURED: Final = -1
Result = TypeVar("Result")


class OnnxRuntimeDevice:
    """A device as ONNX Runtime sees it. Its copies and runs are done when they return, so queues are nothing.

    Args:
        name: `cuda` or `cpu`.
        index: which of them.
        tf32: let CUDA's libraries compute in TF32, unless another device of this process does not.
        cuda_graphs: have contexts captured. ONNX Runtime keeps graphs by thread, and captures in a mode in which no
            other thread may allocate or copy: so everything is done on one thread then.
    """

    captures = asynchronous = False  # what ONNX Runtime captures, it captures itself

    def __init__(self, name: str, index: int = 0, *, tf32: bool = False, cuda_graphs: bool = False) -> None:
        self.name, self._index = name, index
        self._graphs = count(1) if cuda_graphs else None
        self._thread = ThreadPoolExecutor(1, "cuda-graphs") if cuda_graphs else None
        if name == "cuda":
            if not tf32:
                # cuBLAS follows the provider's option, cuDNN this; they look when they start, so before that.
                os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
            _load_libraries()

    def current(self) -> AbstractContextManager[object]:
        """Nothing: every session and every value has its device."""
        return nullcontext()

    def do(self, work: Callable[[], Result]) -> Result:
        """Do something on the device, on the thread that may."""
        return self._thread.submit(work).result() if self._thread else work()

    def graph(self) -> int | None:
        """The number of a new graph; `_NOT_CAPTURED` where there are enough, None where none is wanted."""
        if self._graphs is None:
            return None
        number = next(self._graphs)
        if number == MOST_GRAPHS + 1:
            _log.warning("%d CUDA graphs are in use, and no more are made: streams run without", MOST_GRAPHS)
        return number if number <= MOST_GRAPHS else _NOT_CAPTURED

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """An `OrtValue`."""
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        with translated(DeviceError, f"cannot allocate {list(shape)} on {self.name}"):
            return self.do(lambda: make(list(shape), np.dtype(dtype), self.name, self._index))

    def pinned(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Host memory."""
        return np.empty(shape, dtype)

    def queue(self) -> Queue:
        """Nothing."""
        return None

    def upload(self, target: Buffer, source: Array, queue: Queue) -> None:
        """Copy from host memory."""
        with translated(DeviceError, f"cannot copy to {self.name}"):
            self.do(lambda: target.update_inplace(source))

    def download(self, target: Array, source: Buffer, queue: Queue) -> None:
        """Copy into host memory."""
        with translated(DeviceError, f"cannot copy from {self.name}"):
            target[...] = self.do(source.numpy)

    def download_rows(self, target: Array, source: Buffer, rows: Sequence[int], queue: Queue) -> None:
        """Copy all, and take the rows: an `OrtValue` has no parts."""
        with translated(DeviceError, f"cannot copy from {self.name}"):
            target[: len(rows)] = self.do(source.numpy)[rows]

    def copy(self, target: Buffer, source: Buffer, queue: Queue) -> None:
        """Copy on the device, by way of the host."""
        with translated(DeviceError, f"cannot copy on {self.name}"):
            self.do(lambda: target.update_inplace(source.numpy()))

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
    """One stream's bindings of a session.

    Args:
        session: of the graph.
        device: where it runs.
        repeats: whether the graph runs often enough to be captured, if the device has its contexts captured.
    """

    def __init__(self, session: Session, device: OnnxRuntimeDevice, *, repeats: bool = True) -> None:
        self._session, self._device, self._repeats = session, device, repeats
        self._input_names = {tensor.name for tensor in session.native.get_inputs()}
        self._bound: dict[str, Buffer] = {}
        self._runs: dict[tuple[int, ...], _Run] = {}

    def bind(self, name: str, buffer: Buffer) -> None:
        """Bind an input or an output."""
        self._bound[name] = buffer

    def can_be_captured(self, queue: Queue) -> bool:
        """Not by anyone but ONNX Runtime."""
        return False

    def enqueue(self, queue: Queue) -> None:
        """Run. A graph is of the memory that was bound when it was captured, so other memory is another run."""
        memory = tuple(map(id, self._bound.values()))
        if memory not in self._runs:
            graph = self._device.graph() if self._repeats else None
            self._runs[memory] = _Run(self._session, self._input_names, dict(self._bound), graph)
        self._device.do(self._runs[memory])


class _Run:
    """A session with inputs and outputs in certain memory."""

    def __init__(self, session: Session, inputs: set[str], bound: dict[str, Buffer], graph: int | None) -> None:
        self._session = session
        self._inputs = {name: buffer for name, buffer in bound.items() if name in inputs}
        self._binding: Any = session.native.io_binding()
        for name in bound.keys() - inputs:
            with session.translated(f"cannot bind {name}"):
                self._binding.bind_ortvalue_output(name, bound[name])
        self._options = onnxruntime.RunOptions()
        if graph is not None:
            self._options.add_run_config_entry("gpu_graph_id", str(graph))

    def __call__(self) -> None:
        """Run. Inputs are bound each time: what a node on the processor reads is copied to it when it is bound."""
        with self._session.translated("cannot run its graph"):
            for name, buffer in self._inputs.items():
                self._binding.bind_ortvalue_input(name, buffer)
            self._binding.synchronize_inputs()
            self._session.native.run_with_iobinding(self._binding, self._options)
            self._binding.synchronize_outputs()
