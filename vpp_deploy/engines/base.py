"""What every backend offers: an `Engine` that opens streams, and an `EngineStream` that owns one video's state.

The PyTorch reference (`vpp_deploy.models.reference`) has the same shape, so a session or a parity check cannot tell
them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.manifest import Manifest
from vpp_deploy.frames import Size

Array = npt.NDArray[Any]
State = Mapping[str, npt.NDArray[np.generic]]
"""State tensors by their manifest name (`reference`, `deep`, `positions`). Empty before the first frame of a video."""


class EngineStream(Protocol):
    """The state of one video on one engine. Not thread-safe: one stream belongs to one caller at a time."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the next frame and advance the state.

        The first call after construction or `reset` runs the `init` graph, every later one the `step` graph.

        Args:
            inputs: every non-state input of the phase's graph, by its manifest name. Inputs that only the step graph
                has (the track queries) may be passed on the first frame too; they are ignored there.

        Returns:
            Every non-state output of the graph, by its manifest name, as host arrays.
        """
        ...

    def reset(self) -> None:
        """Forget the past: the next frame is the first of a new video."""
        ...

    def snapshot(self) -> State:
        """A host copy of the state, empty before the first frame. Later frames do not change it."""
        ...

    def restore(self, state: State) -> None:
        """Continue from `state` (a snapshot of this or of any other engine of the same bundle; empty means reset)."""
        ...


class Engine(Protocol):
    """A model that is ready to run. Thread-safe; weights are loaded once and shared by all of its streams."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        ...

    @property
    def backend(self) -> str:
        """The backend's name: `onnxruntime`, `tensorrt`, `tensorrt-rtx` or `torch`."""
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
        """A new stream with empty state."""
        ...
