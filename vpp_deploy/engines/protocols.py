"""What every backend offers: an `Engine` that opens streams, and an `EngineStream` that owns one video's state.

The PyTorch reference (`vpp_deploy.families.vpp.reference`) has the same shape, so a session or a parity check cannot
tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.frames import Size

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StreamState:
    """Everything that a stream remembers, as host data.

    Attributes:
        phase: the graph that the next frame runs; `init` means that the next frame is the first of a video, `model`
            that the bundle has no state.
        tensors: state tensors by their manifest name (`reference`, `deep`, `positions`); empty in role `init`, and
            for a model without state always.
    """

    phase: GraphRole = "init"
    tensors: Mapping[str, Array] = field(default_factory=dict)


class EngineStream(Protocol):
    """The state of one video on one engine. Not thread-safe: one stream belongs to one caller at a time."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the next frame and advance the state.

        The first call after construction or `reset` runs the `init` graph, every later one the `step` graph; without
        state, all run the `model` graph.

        Args:
            inputs: every non-state input of the next graph, by its manifest name. Inputs that only the step graph
                has (the track queries) may be passed on the first frame too; they are ignored there.

        Returns:
            Every non-state output of the graph, by its manifest name, as host arrays.
        """
        ...

    def reset(self) -> None:
        """Forget the past: the next frame is the first of a new video."""
        ...

    def snapshot(self) -> StreamState:
        """A host copy of the state. Later frames do not change it."""
        ...

    def restore(self, state: StreamState) -> None:
        """Continue from a snapshot of this or of any other engine of the same bundle."""
        ...


@runtime_checkable
class Prefetches(Protocol):
    """A stream that can take inputs of the next frame ahead of time, while it or the host is busy."""

    def prefetch(self, inputs: Mapping[str, Array]) -> None:
        """Begin to take inputs of the next frame.

        Args:
            inputs: any of them. `EngineStream.run` must get the very same arrays, unchanged, to make use of it.
        """
        ...


class Engine(Protocol):
    """A model that is ready to run. Thread-safe; weights are loaded once and shared by all of its streams."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        ...

    @property
    def backend(self) -> str:
        """The backend's name, as in `vpp_deploy.engines.BACKENDS`; `torch` for the PyTorch reference."""
        ...

    @property
    def precision(self) -> str:
        """The arithmetic precision of the engine: `float32`, `float16` or `bfloat16`."""
        ...

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        ...

    def open_stream(self) -> EngineStream:
        """A new stream with empty state; no weights are copied."""
        ...


RunGraph = Callable[[GraphRole, Sequence[str], Mapping[str, Array]], Sequence[Array]]
"""Runs a graph: (role, output names, inputs by name) to outputs in the order of the names."""


class HostStream:
    """A stream whose state lives in host memory, for engines that run on the CPU.

    Args:
        manifest: names the inputs, outputs and state tensors of the graphs.
        run_graph: runs one graph once; called from one thread at a time for this stream.
    """

    def __init__(self, manifest: Manifest, run_graph: RunGraph) -> None:
        self._manifest = manifest
        self._run_graph = run_graph
        self._state = StreamState(manifest.roles[0])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the next frame and advance the state; see `EngineStream.run`."""
        role, states = self._state.phase, self._manifest.state
        graph = self._manifest.graphs[role]
        feed = {tensor.name: inputs[tensor.name] for tensor in graph.inputs}
        if role == "step":
            feed |= {state.input: self._state.tensors[state.name] for state in states}
        names = [tensor.name for tensor in graph.outputs] + [state.output for state in states]
        outputs = dict(zip(names, self._run_graph(role, names, feed), strict=True))
        following = self._manifest.roles[-1]
        self._state = StreamState(following, {state.name: outputs.pop(state.output) for state in states})
        return outputs

    def reset(self) -> None:
        """Forget the past."""
        self._state = StreamState(self._manifest.roles[0])

    def snapshot(self) -> StreamState:
        """A copy of the state."""
        tensors = {name: np.array(array) for name, array in self._state.tensors.items()}
        return StreamState(self._state.phase, tensors)

    def restore(self, state: StreamState) -> None:
        """Continue from a snapshot."""
        self._state = StreamState(state.phase, {name: np.array(array) for name, array in state.tensors.items()})
