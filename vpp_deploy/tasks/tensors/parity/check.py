"""The parity check of plain tensors: the same inputs through the reference and through an engine, in two ways at once.

Free-running, each side keeps its own state. Teacher-forced, the engine gets the reference's state on every frame, which
separates an error made on a frame from one that was carried over. Without a state the two are the same, and only one is
run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.engines.protocols import Array, Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision import tolerances_of
from vpp_deploy.media.location import shown
from vpp_deploy.parity.arguments import check_arguments, expected_count
from vpp_deploy.parity.latency import Stopwatch
from vpp_deploy.parity.report_common import telling
from vpp_deploy.parity.tensors import TensorDifference, compare_tensors
from vpp_deploy.tasks.common import Progress
from vpp_deploy.tasks.engines import TORCH, open_engine
from vpp_deploy.tasks.tensors.parity.report import FrameDifference, FrameParity, TensorParity
from vpp_deploy.tasks.tensors.session import TensorSession
from vpp_deploy.tasks.tensors.source import Inputs, open_source


def check_tensors(
    bundle: Bundle,
    engine: Engine,
    source: str | PathLike[str] | Iterable[Inputs],
    *,
    frames: int | None = 30,
    reference: Engine | None = None,
    progress: Progress = lambda done, expected: None,
    interrupted: Callable[[TensorParity, BaseException], None] = lambda report, error: None,
) -> TensorParity:
    """Measure how far an engine is from the PyTorch reference, output by output and state by state.

    Args:
        bundle: the bundle that the engine was made from.
        engine: the engine under test.
        source: a file, see `open_source`, or the inputs frame by frame.
        frames: how many frames to compare at most; None takes all.
        reference: what to compare with; None builds the PyTorch reference.
        progress: see `Progress`; called after each frame.
        interrupted: see `vpp_deploy.check_parity`.

    Raises:
        UsageError: a bundle for another task; the engine is of another bundle; `frames` is below 1; there is no frame;
            inputs that do not fit.
        VideoError: the source cannot be read.
    """
    manifest = TensorsManifest.of(bundle.manifest, "this parity check")
    check_arguments(bundle, engine, frames)
    tolerances = tolerances_of(engine.precision).tensors
    compared: list[FrameParity] = []

    def report() -> TensorParity:
        return TensorParity(
            backend=engine.backend,
            precision=engine.precision,
            source=Path(shown(str(source))).name if isinstance(source, str | PathLike) else None,
            frames=tuple(compared),
            requested_frames=frames,
            tolerances=tolerances,
            latency=comparison.stopwatch.latency(),
        )

    with _open(source, manifest, frames) as inputs:
        comparison = _Comparison(reference or open_engine(bundle, TORCH), engine)
        with telling(interrupted, report, compared):
            for number, frame in enumerate(islice(inputs, frames)):
                compared.append(comparison.compare(number, frame))
                progress(len(compared), expected_count(inputs, frames))
    if not compared:
        raise UsageError("parity: there is no frame to compare; give a source with at least one")
    return report()


def _open(
    source: str | PathLike[str] | Iterable[Inputs], manifest: TensorsManifest, frames: int | None
) -> AbstractContextManager[Iterable[Inputs]]:
    return open_source(source, manifest, frames) if isinstance(source, str | PathLike) else nullcontext(source)


class _Comparison:
    """The streams of a parity check, in step with each other.

    Attributes:
        stopwatch: how long PyTorch and the free-running engine took.
    """

    def __init__(self, reference: Engine, engine: Engine) -> None:
        sessions = [TensorSession(one, allow_nonfinite=True) for one in (reference, engine)]
        self._reference, self._free = sessions
        self._forced = engine.open_stream() if engine.manifest.state else None
        self.stopwatch = Stopwatch()

    def compare(self, number: int, inputs: Inputs) -> FrameParity:
        """Run and compare the next frame."""
        before = self._reference.snapshot()
        prepared = self._reference.prepare(inputs)
        with np.errstate(invalid="ignore", over="ignore"):  # an engine may put out NaN: that is reported, not warned of
            truth = {**self.stopwatch.reference(lambda: self._reference(prepared))}
            truth |= self._reference.snapshot().tensors
            free = {**self.stopwatch.engine(lambda: self._free(prepared)), **self._free.snapshot().tensors}
            running = _compare(truth, free)
            if self._forced is None:
                return FrameParity(number, before.phase, running, None)
            self._forced.restore(before)
            forced = {**self._forced.run(prepared), **self._forced.snapshot().tensors}
            return FrameParity(number, before.phase, _compare(truth, forced), running)


def _compare(reference: Mapping[str, Array], engine: Mapping[str, Array]) -> FrameDifference:
    tensors: dict[str, TensorDifference] = {}
    scales: dict[str, float] = {}
    unequal: dict[str, int] = {}
    for name, ours in reference.items():
        theirs = engine[name]
        if np.issubdtype(ours.dtype, np.floating):
            flat, other = ours.reshape(-1), theirs.reshape(-1)
            rows = np.arange(flat.size)
            tensors[name] = compare_tensors(flat, other, (rows, rows))
            finite: Any = np.abs(flat[np.isfinite(flat)])
            scales[name] = max(1.0, float(finite.max(initial=0.0)))
        else:
            unequal[name] = int(np.count_nonzero(ours != theirs))
    return FrameDifference(tensors, scales, unequal)
