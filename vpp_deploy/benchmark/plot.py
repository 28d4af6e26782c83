"""Latency against accuracy: which of several schedules, precisions and engines is worth its time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from vpp_deploy.benchmark.report import BenchmarkReport
from vpp_deploy.errors import DatasetError, DependencyError, OutputError, UsageError
from vpp_deploy.files.outputs import OutputFile
from vpp_deploy.report.measurements import METRICS, Evaluation, Run, read_measurement

FORMATS: Final = (".svg", ".png", ".pdf")
_MARKERS: Final = "os^Dvp*X"


class Point(NamedTuple):
    """A candidate in the plane.

    Attributes:
        bundle: its name.
        engine: which ran.
        milliseconds: median of a call.
        accuracy: in percent.
    """

    bundle: str
    engine: str
    milliseconds: float
    accuracy: float


class Subject(NamedTuple):
    """What is timed.

    Attributes:
        bundle: its name.
        engine: which runs.
        bundle_hash: see `Manifest.bundle_hash`; None if it is not known.
    """

    bundle: str
    engine: str
    bundle_hash: str | None

    def __str__(self) -> str:
        return f"{self.bundle} {self.engine}"

    def is_scored_by(self, run: Run) -> bool:
        """Whether a run is of this; a bundle goes by its name where an earlier version wrote the file."""
        if run.engine != self.engine or run.mode not in (None, "topk"):  # what is timed selects as exported
            return False
        if run.bundle_hash is None or self.bundle_hash is None:
            return run.bundle == self.bundle
        return run.bundle_hash == self.bundle_hash


class PlotFile:
    """A picture of latency against accuracy, at a path that is known to be writable before the measurement.

    Args:
        path: `.svg`, `.png` or `.pdf`.
        scores: files that `vpp-deploy evaluate --json` wrote.

    Raises:
        UsageError: another extension, or no scores.
        DatasetError: a file that `evaluate` did not write, or not of a bundle.
        DependencyError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, scores: Sequence[Path]) -> None:
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"--plot {path}: a picture ends in {', '.join(FORMATS)}")
        if not scores:
            raise UsageError("--plot draws latency against accuracy: give --scores FILE, which `evaluate --json` wrote")
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise DependencyError("matplotlib is not installed; install it with: pip install matplotlib") from error
        self.path = path
        self._evaluations = [read_measurement(file, Evaluation, "evaluate") for file in scores]
        for file, evaluation in zip(scores, self._evaluations, strict=True):
            if not evaluation.bundles:
                raise DatasetError(f"{file} is of no bundle: give a file that `evaluate BUNDLE --json` wrote")
        self._output = OutputFile(path)

    def check(self, subjects: Iterable[Subject]) -> None:
        """See that there will be something to draw, before it is measured.

        Args:
            subjects: what will be.

        Raises:
            DatasetError: none of them was scored, or not all that were on the same data and by one metric, or one of
                them twice with different results.
        """
        scores_of(subjects, self._evaluations)

    def draw(self, report: BenchmarkReport) -> None:
        """Draw what was both measured and scored.

        Raises:
            DatasetError: see `check`.
        """
        label, points = points_of(report, self._evaluations)
        try:
            self._output.write(_picture(points, label, self.path.suffix.lower()[1:]))
            self._output.commit()
        except OutputError:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up: leave nothing behind. Harmless when called twice, or after `draw`."""
        self._output.discard()


def points_of(report: BenchmarkReport, evaluations: Sequence[Evaluation]) -> tuple[str, list[Point]]:
    """The candidates whose accuracy is known, and what accuracy is.

    Raises:
        DatasetError: see `PlotFile.check`.
    """
    subjects = [Subject(one.bundle, one.engine, one.bundle_hash) for one in report.candidates]
    label, scored = scores_of(subjects, evaluations)
    return label, [
        Point(one.bundle, one.engine, 1e3 * one.latency.median, scored[subject])
        for one, subject in zip(report.candidates, subjects, strict=True)
        if subject in scored
    ]


def scores_of(subjects: Iterable[Subject], evaluations: Sequence[Evaluation]) -> tuple[str, dict[Subject, float]]:
    """The first metric that all scored subjects have, and its values.

    Raises:
        DatasetError: see `PlotFile.check`.
    """
    subjects = list(subjects)
    found: dict[Subject, Run] = {}
    first: tuple[Subject, Run, Evaluation] | None = None
    for subject in subjects:
        for evaluation, run in [(one, run) for one in evaluations for run in one.runs if subject.is_scored_by(run)]:
            first = first or (subject, run, evaluation)
            if not evaluation.is_on_data_of(first[2]):
                raise DatasetError(
                    f"{first[0]} was scored on {first[2].data} ({first[1].scored}), and {subject} on other data, "
                    f"{evaluation.data} ({run.scored}); give scores on the same files and annotations"
                )
            before = found.setdefault(subject, run)
            for key, label in METRICS.items():
                if (old := getattr(before, key)) != (new := getattr(run, key)):
                    raise DatasetError(f"{subject} was scored twice, with {label} {old} and {new}; give one of the two")
    if not found:
        raise DatasetError(_nothing_scored(subjects, [run for one in evaluations for run in one.runs]))
    for key, label in METRICS.items():
        values = {subject: getattr(run, key) for subject, run in found.items()}
        if None not in values.values():
            return label, values
    names = ", ".join(map(str, found))
    raise DatasetError(f"no metric was measured of all of {names}; give scores on one data set")


def _nothing_scored(subjects: Iterable[Subject], runs: Sequence[Run]) -> str:
    names = ", ".join(sorted(f"{run.bundle} {run.engine}" for run in runs))
    known = {(PurePath(run.bundle or "").name, run.engine) for run in runs}
    alike = [subject for subject in subjects if (PurePath(subject.bundle).name, subject.engine) in known]
    why = f"; {alike[0].bundle} is another bundle of that name, or was made anew since: evaluate it" if alike else ""
    return f"no candidate of this benchmark has a score: the files of --scores are about {names}{why}"


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both time and accuracy, fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.milliseconds, -point.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def _picture(points: Sequence[Point], label: str, form: str) -> bytes:
    from matplotlib.figure import Figure  # without pyplot, which would look for a display

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        *zip(*((p.milliseconds, p.accuracy) for p in pareto_front(points)), strict=True),
        color="0.7",
        zorder=1,
        label="beaten by none",
    )
    colours = {bundle: f"C{number % 10}" for number, bundle in enumerate(dict.fromkeys(p.bundle for p in points))}
    markers = dict(zip(dict.fromkeys(p.engine for p in points), cycle(_MARKERS)))
    for point in points:
        name = f"{point.bundle.removesuffix('.bundle')}, {point.engine}".replace("$", r"\$")  # else it begins a formula
        axes.scatter(
            point.milliseconds,
            point.accuracy,
            color=colours[point.bundle],
            marker=markers[point.engine],
            label=name,
            alpha=0.85,
            zorder=2,
        )
    slowest = max(point.milliseconds for point in points)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    axes.set_xlabel("ms a call, median")
    axes.set_ylabel(f"{label}, %")
    axes.set_xlim(0, 1.1 * slowest)
    axes.grid(alpha=0.3)
    low, high = (extreme(point.accuracy for point in points) for extreme in (min, max))
    margin = max(1.0, 0.1 * (high - low))
    axes.set_ylim(math.floor(low - margin), math.ceil(high + margin))
    data = io.BytesIO()
    figure.savefig(data, format=form, dpi=150)
    return data.getvalue()
