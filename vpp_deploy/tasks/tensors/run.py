"""What `vpp-deploy infer` does: inputs frame by frame through the model, outputs as arrays."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from vpp_deploy.engines.protocols import Array, Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.files.arrays import ArraysWriter
from vpp_deploy.files.outputs import OutputGroup
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.media.json_lines import JsonLinesFile
from vpp_deploy.tasks.task import RunRequest
from vpp_deploy.tasks.tensors.options import RunOptions
from vpp_deploy.tasks.tensors.session import TensorSession
from vpp_deploy.tasks.tensors.source import open_source
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """How a run went.

    Attributes:
        frames: how many there were.
        wall_seconds: from opening the input to closing the outputs.
        engine_seconds: of the engine alone, of all frames.
    """

    frames: int
    wall_seconds: float
    engine_seconds: float


def run(engine: Engine, request: RunRequest, options: RunOptions) -> None:
    """Run a file of inputs, and tell how it went.

    Raises:
        UsageError: it is to be shown, and nothing can be.
    """
    if request.show:
        raise UsageError(f"--show: {engine.manifest.model.name} gives plain tensors; leave the option out")
    summary = run_tensors(TensorSession(engine, options.allow_nonfinite), request)
    rate = summary.frames / summary.wall_seconds
    console.say(
        f"{request.source}: {console.counted(summary.frames, 'frame')} in {summary.wall_seconds:.1f} s, "
        f"{rate:.1f} per second"
    )
    rows = [("ms per frame", f"engine {1000 * summary.engine_seconds / summary.frames:.1f}  (mean)")]
    if written := [str(path) for path in (request.output, request.json) if path is not None]:
        rows.append(("written", "\n".join(written)))
    console.show(console.facts(rows))


def run_tensors(session: TensorSession, request: RunRequest) -> TensorSummary:
    """Run a session over a file of inputs, from an empty state.

    Raises:
        UsageError: the file does not fit the model, has no frame, or an output would overwrite it.
        VideoError: it cannot be read.
        OutputError: an output cannot be written.
    """
    check_outputs([path for path in (request.output, request.json) if path is not None], inputs=[request.source])
    session.reset()
    begin, engine_seconds, frames = perf_counter(), 0.0, 0
    with ExitStack() as stack:
        group = stack.enter_context(OutputGroup())
        arrays = None if request.output is None else group.add(ArraysWriter(request.output))
        lines = None if request.json is None else group.add(JsonLinesFile(request.json))
        source = stack.enter_context(open_source(request.source, session.manifest, request.max_frames))
        progress = stack.enter_context(frame_bar())
        for frames, inputs in enumerate(source, start=1):
            start = perf_counter()
            outputs = session(inputs)
            engine_seconds += perf_counter() - start
            if arrays is not None:
                arrays.append(outputs)
            if lines is not None:
                lines.append({"frame": frames - 1, "outputs": {name: _facts(array) for name, array in outputs.items()}})
            progress(frames, None)
        if not frames:
            raise UsageError(f"{request.source}: there is no frame in it")
    return TensorSummary(frames, perf_counter() - begin, engine_seconds)


def _facts(array: Array) -> dict[str, Any]:
    """An output in numbers that fit on a line; the values themselves go into the arrays."""
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    range_of = {"minimum": float(finite.min()), "maximum": float(finite.max())} if finite.size else {}
    return {"shape": list(array.shape), "dtype": str(array.dtype), **range_of, "non_finite": values.size - finite.size}
