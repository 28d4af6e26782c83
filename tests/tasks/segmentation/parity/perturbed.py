"""Engines that compute something else, to see that parity notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vpp_deploy.bundle import Manifest
from vpp_deploy.engines.protocols import Engine, EngineStream, StreamState

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], None]
"""Changes arrays in place, or replaces them in the dictionary."""


class PerturbedEngine:
    """An engine whose outputs and state are changed after every frame from `first_frame` on.

    Args:
        engine: the one that computes.
        outputs: changes the outputs.
        state: changes the state, which the next frame sees.
        forced: whether the teacher-forced stream (the one that is restored) is changed too.
        free: whether free-running streams are.
    """

    def __init__(
        self,
        engine: Engine,
        outputs: Change = lambda arrays: None,
        state: Change = lambda arrays: None,
        *,
        first_frame: int = 1,
        forced: bool = True,
        free: bool = True,
    ) -> None:
        self._engine, self._outputs, self._state = engine, outputs, state
        self._first_frame, self._forced, self._free = first_frame, forced, free
        self.manifest: Manifest = engine.manifest
        self.backend, self.precision, self.frame_size = engine.backend, engine.precision, engine.frame_size

    def open_stream(self) -> EngineStream:
        return _PerturbedStream(self._engine.open_stream(), self._change)

    def _change(self, frame: int, restored: bool, outputs: Arrays, state: Arrays) -> None:
        if frame >= self._first_frame and (self._forced if restored else self._free):
            self._outputs(outputs)
            self._state(state)


class _PerturbedStream:
    def __init__(self, stream: EngineStream, change: Callable[[int, bool, Arrays, Arrays], None]) -> None:
        self._stream, self._change = stream, change
        self._frame, self._restored = 0, False

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        outputs = {name: array.copy() for name, array in self._stream.run(inputs).items()}
        after = self._stream.snapshot()
        state: Arrays = dict(after.tensors)
        self._change(self._frame, self._restored, outputs, state)
        self._stream.restore(StreamState(after.phase, state))
        self._frame += 1
        return outputs

    def reset(self) -> None:
        self._stream.reset()
        self._frame = 0

    def snapshot(self) -> StreamState:
        return self._stream.snapshot()

    def restore(self, state: StreamState) -> None:
        self._restored = True
        self._stream.restore(state)


class ScoredReference(PerturbedEngine):
    """A reference that scores every token the same, so that every difference is a tie."""

    def selection_scores(self, inputs: Mapping[str, Any], state: StreamState) -> Arrays:
        tokens = self.manifest.token_grid[0] * self.manifest.token_grid[1]
        return {point.name: np.full(tokens, 0.5, np.float32) for point in self.manifest.pruning_points}


def swap_kept(outputs: Arrays, name: str, tokens: int) -> None:
    """Replace one kept token by one that was not kept."""
    kept = outputs[name]
    added = np.setdiff1d(np.arange(tokens, dtype=kept.dtype), kept)[0]
    outputs[name] = np.sort(np.append(kept[:-1], added))
