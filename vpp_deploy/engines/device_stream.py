"""A stream whose state stays on the device: two buffers for each state tensor, swapped every frame."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.manifest import DType, GraphRole, Manifest
from vpp_deploy.engines.device import Buffer, Context, CreateContext, Device, Graph, Queue
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.stream_state import Array, StreamState, check_state
from vpp_deploy.errors import DeviceError

_log = logging.getLogger(__name__)

Direction = int
"""Which of its two buffers a state is read from: 0 or 1. It is written to the other one."""


class DeviceStream:
    """One video on one engine, with its own contexts, buffers and queues. For one thread at a time.

    A frame's inputs go up, the graph runs, its outputs come down; state tensors never leave the device. A step reads
    state from one buffer and writes it to the other, so that nothing is ever read and written at once. The step graph
    is captured twice, once for each direction, after it has run once as it is (libraries set themselves up in a first
    run). If it cannot be captured, the stream says so once and goes on without.

    Args:
        manifest: names the inputs, outputs and state tensors of the graphs.
        device: where to run.
        create_context: makes a context for each graph.
    """

    def __init__(self, manifest: Manifest, device: Device, create_context: CreateContext) -> None:
        self._manifest, self._device = manifest, device
        self._queue, self._upload_queue = device.queue(), device.queue()
        with device.current():
            self._contexts = {role: create_context(role) for role in manifest.roles}
        self._inputs: dict[str, _Input] = {}
        self._outputs: dict[GraphRole, dict[str, _Output]] = {}
        self._last: dict[str, _Output] = {}
        self._state: dict[str, tuple[Buffer, Buffer]] = {
            state.name: (device.allocate(state.shape, state.dtype), device.allocate(state.shape, state.dtype))
            for state in manifest.state
        }
        with device.current():
            for role, context in self._contexts.items():
                self._bind_fixed(role, context)
        self._role: GraphRole = manifest.roles[0]
        self._direction: Direction = 0
        self._capturing = device.captures
        self._warm: set[Direction] = set()
        self._graphs: dict[Direction, Graph] = {}

    @one_thread
    def run(self, inputs: Mapping[str, Array], leave: Collection[str] = ()) -> dict[str, Array]:
        """Run the next frame and advance the state; see `EngineStream.run` and `LeavesOutputs`."""
        role, device = self._role, self._device
        for tensor in self._manifest.graphs[role].inputs:
            self._inputs[tensor.name].take(device, inputs[tensor.name], self._queue, self._upload_queue)
        with device.current():
            self._execute(role)
        self._last = self._outputs[role]
        outputs = {name: output for name, output in self._last.items() if name not in leave}
        for output in outputs.values():
            device.download(output.host, output.buffer, self._queue)
        device.synchronize(self._queue)
        self._advance(role)
        return {name: output.host.copy() for name, output in outputs.items()}

    @one_thread
    def rows(self, name: str, rows: npt.NDArray[np.integer]) -> Array:
        """Rows of an output of the last run; see `LeavesOutputs`."""
        output, count = self._last[name], len(rows)
        self._device.download_rows(output.host, output.buffer, rows.tolist(), self._queue)
        self._device.synchronize(self._queue)
        return np.array(output.host[:count])

    @one_thread
    def prefetch(self, inputs: Mapping[str, Array]) -> None:
        """Begin to upload inputs of the next frame, while the device or the host is busy with something else.

        Args:
            inputs: any of the next frame's inputs. `run` must get the very same arrays, unchanged, to make use of it.
        """
        if not self._device.asynchronous:  # it would only be one copy more
            return
        for name, array in inputs.items():
            self._inputs[name].prefetch(self._device, array, self._upload_queue)

    @one_thread
    def reset(self) -> None:
        """Forget the past: the next frame is the first of a new video."""
        self._role, self._direction = self._manifest.roles[0], 0

    @one_thread
    def snapshot(self) -> StreamState:
        """A host copy of the state."""
        if self._role != self._manifest.roles[-1]:
            return StreamState(self._role, bundle=self._manifest.fingerprint)
        tensors = {}
        for state in self._manifest.state:
            host = self._device.pinned(state.shape, state.dtype)
            self._device.download(host, self._state[state.name][self._direction], self._queue)
            tensors[state.name] = host
        self._device.synchronize(self._queue)
        copies = {name: np.array(host) for name, host in tensors.items()}
        return StreamState(self._role, copies, self._manifest.fingerprint)

    @one_thread
    def restore(self, state: StreamState) -> None:
        """Continue from a snapshot; see `EngineStream.restore`."""
        check_state(self._manifest, state)
        target = 1 - self._direction if state.tensors else 0  # what is there stays until this is done
        for spec in self._manifest.state:
            if spec.name in state.tensors:
                host = self._device.pinned(spec.shape, spec.dtype)
                host[...] = state.tensors[spec.name]
                self._device.upload(self._state[spec.name][target], host, self._queue)
        self._device.synchronize(self._queue)
        self._role, self._direction = state.phase, target

    @one_thread
    def mark(self) -> object:
        """Where the stream is; see `Rewinds`. What is then done writes to the other buffers."""
        return self._role, self._direction

    @one_thread
    def rewind(self, mark: Any) -> None:
        """Be where the stream was; see `Rewinds`."""
        self._role, self._direction = mark

    def _bind_fixed(self, role: GraphRole, context: Context) -> None:
        """Bind the inputs, which the graphs share, and the outputs."""
        graph = self._manifest.graphs[role]
        for tensor in graph.inputs:
            if tensor.name not in self._inputs:
                self._inputs[tensor.name] = _Input(self._device, tensor.shape, tensor.dtype)
            context.bind(tensor.name, self._inputs[tensor.name].buffer)
        self._outputs[role] = {}
        for tensor in graph.outputs:
            output = _Output(self._device, tensor.shape, tensor.dtype)
            self._outputs[role][tensor.name] = output
            context.bind(tensor.name, output.buffer)

    def _bind_state(self, role: GraphRole) -> None:
        """The first frame only writes state, into the buffers that the first step reads."""
        context, read = self._contexts[role], self._direction
        for state in self._manifest.state:
            if role == "step":
                context.bind(state.input, self._state[state.name][read])
                context.bind(state.output, self._state[state.name][1 - read])
            else:
                context.bind(state.output, self._state[state.name][0])

    def _execute(self, role: GraphRole) -> None:
        repeats = role == self._manifest.roles[-1]
        if repeats and self._direction in self._graphs:
            self._device.launch(self._graphs[self._direction], self._queue)
            return
        self._bind_state(role)
        if repeats and self._capturing and self._direction in self._warm and self._capture(role):
            self._device.launch(self._graphs[self._direction], self._queue)
            return
        self._contexts[role].enqueue(self._queue)
        if repeats:
            self._warm.add(self._direction)

    def _capture(self, role: GraphRole) -> bool:
        context = self._contexts[role]
        try:
            if not context.can_be_captured(self._queue):
                raise DeviceError("its engine allocates memory while it runs")
            self._graphs[self._direction] = self._device.capture(self._queue, lambda: context.enqueue(self._queue))
        except DeviceError as error:
            _log.warning("the %s graph cannot be captured on %s (%s); running without", role, self._device.name, error)
            self._capturing = False
            return False
        return True

    def _advance(self, role: GraphRole) -> None:
        if role == "step":
            self._direction = 1 - self._direction
        self._role = self._manifest.roles[-1]


class _Input:
    """An input tensor on the device, and a second place into which its next value can be uploaded meanwhile."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: DType) -> None:
        self._shape, self._dtype = shape, dtype
        self.buffer = device.allocate(shape, dtype)
        self._host = device.pinned(shape, dtype)
        self._waiting: Array | None = None
        self._staging: tuple[Buffer, Array] | None = None

    def prefetch(self, device: Device, array: Array, upload_queue: Queue) -> None:
        if self._staging is None:
            self._staging = device.allocate(self._shape, self._dtype), device.pinned(self._shape, self._dtype)
        else:
            device.synchronize(upload_queue)  # the host memory may still be read by an upload that nobody took
        buffer, host = self._staging
        host[...] = array
        device.upload(buffer, host, upload_queue)
        self._waiting = array

    def take(self, device: Device, array: Array, queue: Queue, upload_queue: Queue) -> None:
        """Have the value in the bound buffer once `queue` gets there."""
        if self._staging is not None and self._waiting is array:
            device.follow(queue, upload_queue)
            device.copy(self.buffer, self._staging[0], queue)
        else:
            self._host[...] = array
            device.upload(self.buffer, self._host, queue)
        self._waiting = None


class _Output:
    """An output tensor on the device, and the host memory that it is downloaded to."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: DType) -> None:
        self.buffer = device.allocate(shape, dtype)
        self.host = device.pinned(shape, dtype)
