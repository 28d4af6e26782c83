"""A reference that remembers what it was fed, so that single frames can be run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.engines.protocols import Array, Engine, EngineStream
from vpp_deploy.engines.stream_state import StreamState


@dataclass(frozen=True, slots=True)
class Feed:
    """One run of a graph by the reference.

    Attributes:
        role: of the graph.
        inputs: all of it, state too, by name.
        outputs: that the reference gave, state aside.
    """

    role: GraphRole
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


class Recording:
    """An engine that does all that another one does, and notes what its streams run.

    Args:
        engine: usually the PyTorch reference.
        most: runs to remember; later ones are not.

    Attributes:
        feeds: the runs.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most = engine, most
        self.feeds: list[Feed] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def open_stream(self) -> EngineStream:
        """A stream whose runs are noted."""
        return _Stream(self._engine.open_stream(), self)

    def note(self, state: StreamState, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Remember a run."""
        if len(self.feeds) < self._most:
            manifest, role = self._engine.manifest, state.phase
            feed = {spec.name: inputs[spec.name] for spec in manifest.graphs[role].inputs}
            feed |= {spec.input: state.tensors[spec.name] for spec in manifest.state if role == "step"}
            self.feeds.append(Feed(role, feed, dict(outputs)))


class _Stream:
    def __init__(self, stream: EngineStream, recording: Recording) -> None:
        self._stream, self._recording = stream, recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        state = self._stream.snapshot()
        outputs = self._stream.run(inputs)
        self._recording.note(state, inputs, outputs)
        return outputs

    def reset(self) -> None:
        self._stream.reset()

    def snapshot(self) -> StreamState:
        return self._stream.snapshot()

    def restore(self, state: StreamState) -> None:
        self._stream.restore(state)
