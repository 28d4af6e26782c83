"""The parity check of classifiers: the same images or clips through the reference and through an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Array, Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision import tolerances_of
from vpp_deploy.frames import Frame
from vpp_deploy.media.location import shown
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.parity.arguments import check_arguments, expected_count
from vpp_deploy.parity.latency import Stopwatch
from vpp_deploy.parity.report_common import telling
from vpp_deploy.parity.tolerances import ClassifierTolerances
from vpp_deploy.tasks.classification.parity.report import ClassificationParity, SampleParity
from vpp_deploy.tasks.classification.parity.sample import Row, SampleDifference, compare_sample, under_rerun
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.session import ClassificationSession, Sample
from vpp_deploy.tasks.common import Progress
from vpp_deploy.tasks.engines import TORCH, open_engine


@runtime_checkable
class RerunsKept(Protocol):
    """A reference that can be run with other patches than its own choice; see `PaprTorchEngine.rerun`."""

    def rerun(self, inputs: Mapping[str, Array], kept: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs for a batch, had these patches been kept.

        Args:
            inputs: as for `EngineStream.run`.
            kept: positions `[B, K]` int32 of each pruning point that keeps any, by its name.
        """
        ...


def check_classification(
    bundle: Bundle,
    engine: Engine,
    source: str | PathLike[str] | Iterable[Frame],
    *,
    frames: int | None = 30,
    reference: Engine | None = None,
    progress: Progress = lambda done, expected: None,
    interrupted: Callable[[ClassificationParity, BaseException], None] = lambda report, error: None,
) -> ClassificationParity:
    """Measure how far an engine is from the PyTorch reference on images, or on the clips of a video.

    With a batch above 1, the first image or clip is also run in every slot of a batch: it must give the same in each,
    whatever its neighbours are.

    Args:
        bundle: the bundle that the engine was made from.
        engine: the engine under test.
        source: an image, a folder of images or a video, or frames at the engine's frame size in order.
        frames: how many images or clips to compare at most; None takes all. A source with fewer is compared as far as
            it goes.
        reference: what to compare with; None builds `PaprTorchEngine(bundle)`. One without `rerun` excuses no ties.
        progress: see `Progress`; called after each batch, and counts images or clips.
        interrupted: see `vpp_deploy.check_parity`.

    Returns:
        The report. Nothing is stored in the bundle; see `store`.

    Raises:
        UsageError: a bundle of another family; the engine is of another bundle; `frames` is below 1; there is no frame;
            a frame of another size.
        VideoError: the source cannot be read.
        DependencyError: PyTorch is not installed and no reference is given.
        CheckpointError, ConfigError: the bundle's weights or configuration do not make a reference.
    """
    manifest = ClassificationManifest.of(bundle.manifest, "this parity check")
    check_arguments(bundle, engine, frames)
    tolerances = tolerances_of(engine.precision).classification
    compared: list[SampleParity] = []
    slots: tuple[SampleDifference, ...] = ()
    with _open(source, manifest) as pictures:

        def report() -> ClassificationParity:
            return ClassificationParity(
                backend=engine.backend,
                precision=engine.precision,
                source=Path(shown(str(source))).name if isinstance(source, str | PathLike) else None,
                kind="image" if manifest.clip is None else "clip",
                samples=tuple(compared),
                slots=slots,
                requested_samples=frames,
                source_problem=pictures.problem if isinstance(pictures, VideoReader) else None,
                tolerances=tolerances,
                latency=comparison.stopwatch.latency(),
            )

        comparison = _Comparison(manifest, reference or open_engine(bundle, TORCH), engine, tolerances)
        samples = islice(comparison.session.samples(pictures), frames)
        with telling(interrupted, report, compared):
            while batch := list(islice(samples, manifest.batch)):
                turn = comparison.run(batch)
                if not compared:
                    slots = comparison.compare_slots(turn)
                compared += comparison.compare(turn)
                progress(len(compared), None if manifest.clip else expected_count(pictures, frames))
    if not compared:
        raise UsageError("parity: there is no frame to compare; give a source with at least one")
    return report()


def _open(
    source: str | PathLike[str] | Iterable[Frame], manifest: ClassificationManifest
) -> AbstractContextManager[Iterable[Frame]]:
    if isinstance(source, str | PathLike):
        return read_pictures(source, manifest)
    return nullcontext(source)


@dataclass(frozen=True)
class _Turn:
    """One batch through both sides.

    Attributes:
        batch: the images or clips; not more than the graph's rows, the last of which may be padding.
        inputs: of the graph.
        reference: the reference's outputs.
        engine: the engine's.
    """

    batch: Sequence[Sample]
    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    engine: Mapping[str, Array]


class _Comparison:
    """Both sides of a parity check.

    Attributes:
        session: the engine's.
        stopwatch: how long both sides took, batch by batch.

    Args:
        manifest: of the bundle.
        reference: gives the truth.
        engine: is tested.
        tolerances: of the engine's precision.
    """

    def __init__(
        self, manifest: ClassificationManifest, reference: Engine, engine: Engine, tolerances: ClassifierTolerances
    ) -> None:
        self.session = ClassificationSession(engine)
        self._manifest, self._tolerances = manifest, tolerances
        self._reference, self._stream = reference, reference.open_stream()
        self.stopwatch = Stopwatch()

    def run(self, batch: Sequence[Sample]) -> _Turn:
        """Run both sides on a batch."""
        inputs = self.session.prepare(batch)
        truth = self.stopwatch.reference(lambda: self._stream.run(inputs))
        return _Turn(batch, inputs, truth, self.stopwatch.engine(lambda: self.session.stream.run(inputs)))

    def compare(self, turn: _Turn) -> list[SampleParity]:
        """Compare each image or clip, padding left out."""
        pairs = [(_row(turn.reference, row), _row(turn.engine, row)) for row in range(len(turn.batch))]
        differences = [self._compare(*pair) for pair in pairs]
        if tied := [row for row, difference in enumerate(differences) if difference.tied]:
            for row, outputs in self._rerun(turn, tied).items():
                differences[row] = under_rerun(
                    self._manifest, differences[row], outputs, pairs[row][1], self._tolerances
                )
        return [
            SampleParity(tuple(frame.index for frame in sample), sample[0].name, difference)
            for sample, difference in zip(turn.batch, differences, strict=True)
        ]

    def compare_slots(self, turn: _Turn) -> tuple[SampleDifference, ...]:
        """Compare the first image or clip with itself in every slot of a batch; nothing for a batch of 1."""
        if self._manifest.batch == 1:
            return ()
        among_others = {name: array.copy() for name, array in _row(turn.engine, 0).items()}
        outputs = self.session.stream.run(self.session.prepare(turn.batch[:1]))
        return tuple(self._compare(among_others, _row(outputs, slot)) for slot in range(self._manifest.batch))

    def _compare(self, ours: Row, theirs: Row) -> SampleDifference:
        with np.errstate(invalid="ignore", over="ignore"):  # an engine may put out NaN: that is reported, not warned of
            return compare_sample(self._manifest, ours, theirs, self._tolerances)

    def _rerun(self, turn: _Turn, tied: Sequence[int]) -> dict[int, Row]:
        """The reference's outputs of the tied rows with the patches that the engine kept there."""
        if not isinstance(self._reference, RerunsKept):
            return {}
        kept = {}
        for point in self._manifest.pruning_points:
            if point.kept_output is None:
                continue
            kept[point.name] = turn.reference[point.kept_output].copy()
            kept[point.name][tied] = turn.engine[point.kept_output][tied]
        outputs = self._reference.rerun(turn.inputs, kept)
        return {row: _row(outputs, row) for row in tied}


def _row(outputs: Mapping[str, Array], row: int) -> Row:
    return {name: array[row] for name, array in outputs.items()}
