"""What every backend offers: an `Engine` that opens streams, and an `EngineStream` that owns one video's state.

The PyTorch reference (`vpp_deploy.families.vpp.reference`) has the same shape, so a session or a parity check cannot
tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.stream_state import Array, StreamState, check_state
from vpp_deploy.errors import IncompatibleEngineError, UsageError
from vpp_deploy.frames import Size

__all__ = [
    "Array",
    "Engine",
    "EngineStream",
    "HostStream",
    "LeavesOutputs",
    "Prefetches",
    "Rewinds",
    "RunGraph",
    "StreamState",
]


class EngineStream(Protocol):
    """The state of one video on one engine, for one thread at a time: a second one gets a `StreamError`."""

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
        """Continue from a snapshot of this or of any other engine of the same bundle.

        Raises:
            UsageError: it is of another bundle, or damaged. The stream is as it was.
        """
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


@runtime_checkable
class LeavesOutputs(Protocol):
    """A stream that can leave outputs on the device, of which only some rows are wanted once the others are known."""

    def run(self, inputs: Mapping[str, Array], leave: Collection[str] = ()) -> dict[str, Array]:
        """As `EngineStream.run`, without the outputs that are left where they are."""
        ...

    def rows(self, name: str, rows: npt.NDArray[np.integer]) -> Array:
        """Rows of an output of the last run.

        Args:
            name: an output that was left.
            rows: `[k]` indices into its first axis.
        """
        ...


@runtime_checkable
class Rewinds(Protocol):
    """A stream that can take back what it has just done, which costs nothing."""

    def mark(self) -> object:
        """Where the stream is; good for `rewind` until the second frame, `reset` or `restore` from here."""
        ...

    def rewind(self, mark: object) -> None:
        """Be where the stream was."""
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


def check_engine(what: str, engine: object) -> None:
    """See that a user gave an engine.

    Args:
        what: takes it, for the message.
        engine: what was given.

    Raises:
        UsageError: something else.
    """
    if not callable(getattr(engine, "open_stream", None)):
        raise UsageError(f"{what} takes an engine, as load_engine(bundle) gives it, not a {type(engine).__name__}")


RunGraph = Callable[[GraphRole, Sequence[str], Mapping[str, Array]], Sequence[Array]]
"""Runs a graph: (role, output names, inputs by name) to outputs in the order of the names."""


class HostStream:
    """A stream whose state lives in host memory, for engines that run on the CPU. For one thread at a time.

    Args:
        manifest: names the inputs, outputs and state tensors of the graphs.
        run_graph: runs one graph once; called from one thread at a time for this stream.
        static: outputs and states have the manifest's shapes. Not so of a reference that selects by threshold.
    """

    def __init__(self, manifest: Manifest, run_graph: RunGraph, *, static: bool = True) -> None:
        self._manifest = manifest
        self._run_graph = run_graph
        self._static = static
        self._state = StreamState(manifest.roles[0])

    @one_thread
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the next frame and advance the state; see `EngineStream.run`.

        Raises:
            IncompatibleEngineError: an output is not of the type and shape that the manifest says.
            StreamError: another thread is using the stream.
        """
        role, states = self._state.phase, self._manifest.state
        graph = self._manifest.graphs[role]
        feed = {tensor.name: inputs[tensor.name] for tensor in graph.inputs}
        if role == "step":
            feed |= {state.input: self._state.tensors[state.name] for state in states}
        names = [tensor.name for tensor in graph.outputs] + [state.output for state in states]
        outputs = dict(zip(names, self._run_graph(role, names, feed), strict=True))
        for name, spec in self._manifest.outputs_of(role).items() if self._static else ():
            array = outputs[name]
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise IncompatibleEngineError(
                    f"the {role} graph gave {name!r:.80} as {array.dtype} {list(array.shape)}, the manifest says "
                    f"{spec.dtype} {list(spec.shape)}: build the engine again"
                )
        following = self._manifest.roles[-1]
        self._state = StreamState(following, {state.name: outputs.pop(state.output) for state in states})
        return outputs

    @one_thread
    def reset(self) -> None:
        """Forget the past."""
        self._state = StreamState(self._manifest.roles[0])

    @one_thread
    def snapshot(self) -> StreamState:
        """A copy of the state."""
        tensors = {name: np.array(array) for name, array in self._state.tensors.items()}
        return StreamState(self._state.phase, tensors, self._manifest.fingerprint)

    @one_thread
    def restore(self, state: StreamState) -> None:
        """Continue from a snapshot; see `EngineStream.restore`."""
        if self._static:
            check_state(self._manifest, state)
        self._state = StreamState(state.phase, {name: np.array(array) for name, array in state.tensors.items()})

    @one_thread
    def mark(self) -> object:
        """Where the stream is; see `Rewinds`."""
        return self._state

    @one_thread
    def rewind(self, mark: object) -> None:
        """Be where the stream was; see `Rewinds`."""
        assert isinstance(mark, StreamState)
        self._state = mark
