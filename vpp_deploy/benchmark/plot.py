"""Latency against accuracy: which of several schedules, precisions and engines is worth its time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

from vpp_deploy.benchmark.report import BenchmarkReport
from vpp_deploy.errors import DependencyError, OutputError, UsageError
from vpp_deploy.files.outputs import OutputFile
from vpp_deploy.files.reading import read_json
from vpp_deploy.report.measurements import METRICS

FORMATS: Final = (".svg", ".png", ".pdf")
_SCHEMA: Final = 1
_MOST_BYTES: Final = 16_000_000
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


class PlotFile:
    """A picture of latency against accuracy, at a path that is known to be writable before the measurement.

    Args:
        path: `.svg`, `.png` or `.pdf`.
        scores: files that `vpp-deploy evaluate --json` wrote.

    Raises:
        UsageError: another extension, no scores, or a file that `evaluate` did not write.
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
        self._runs = [run for file in scores for run in _read_runs(file)]
        self._output = OutputFile(path)

    def check(self, candidates: Iterable[tuple[str, str]]) -> None:
        """See that there will be something to draw, before it is measured.

        Args:
            candidates: bundle and engine of what will be.

        Raises:
            UsageError: none of them was scored, or not all that were by one metric.
        """
        _common_metric(candidates, self._runs)

    def draw(self, report: BenchmarkReport) -> None:
        """Draw what was both measured and scored.

        Raises:
            UsageError: see `check`.
        """
        label, points = points_of(report, self._runs)
        try:
            self._output.write(_picture(points, label, self.path.suffix.lower()[1:]))
            self._output.commit()
        except OutputError:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up: leave nothing behind. Harmless when called twice, or after `draw`."""
        self._output.discard()


def points_of(report: BenchmarkReport, runs: Iterable[Mapping[str, Any]]) -> tuple[str, list[Point]]:
    """The candidates whose accuracy is known, and what accuracy is.

    Args:
        report: of the times.
        runs: of evaluations, each with the `bundle` that it is of.

    Raises:
        UsageError: none was scored, or not all that were by one metric.
    """
    key, scored = _common_metric(((one.bundle, one.engine) for one in report.candidates), runs)
    return METRICS[key], [
        Point(one.bundle, one.engine, 1e3 * one.latency.median, scored[one.bundle, one.engine])
        for one in report.candidates
        if (one.bundle, one.engine) in scored
    ]


def _common_metric(
    candidates: Iterable[tuple[str, str]], runs: Iterable[Mapping[str, Any]]
) -> tuple[str, dict[tuple[str, str], float]]:
    """The first metric that all scored candidates have, and its values."""
    known = {(run["bundle"], run["engine"]): run for run in runs}
    found = {candidate: known[candidate] for candidate in candidates if candidate in known}
    if not found:
        names = ", ".join(sorted(f"{bundle} {engine}" for bundle, engine in known)) or "nothing"
        raise UsageError(f"no candidate of this benchmark has a score: the files of --scores are about {names}")
    for key in METRICS:
        if all(run.get(key) is not None for run in found.values()):
            return key, {candidate: float(run[key]) for candidate, run in found.items()}
    names = ", ".join(f"{bundle} {engine}" for bundle, engine in found)
    raise UsageError(f"no metric was measured of all of {names}; give scores on one data set")


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both time and accuracy, fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.milliseconds, -point.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def _read_runs(path: Path) -> list[dict[str, Any]]:
    content = read_json(path, UsageError, what="evaluation", limit=_MOST_BYTES)
    runs = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, list) or not runs:
        raise UsageError(_no_evaluation(path))
    if not all(isinstance(run, dict) and isinstance(run.get("engine"), str) for run in runs):
        raise UsageError(f"{path}: a run without the name of its engine; evaluate again")
    runs = [{"bundle": content.get("bundle")} | run for run in runs]  # runs of earlier versions do not name it
    if not all(isinstance(run["bundle"], str) for run in runs):
        raise UsageError(_no_evaluation(path))
    if content.get("schema") != _SCHEMA:
        raise UsageError(f"{path}: schema {content.get('schema')!r:.40}, and {_SCHEMA} can be read; evaluate again")
    for run in runs:
        scores = {key: run[key] for key in METRICS if key in run}
        for key, value in scores.items():
            if value is not None and (type(value) not in (int, float) or not 0 <= value <= 100):
                raise UsageError(
                    f"{path}: {key} of {run['engine']} is {value!r:.40}, and no percentage; evaluate again"
                )
        if not scores:
            raise UsageError(f"{path}: the run of {run['engine']} has none of {', '.join(METRICS)}; evaluate again")
    return runs


def _no_evaluation(path: Path) -> str:
    return f"{path} is not the evaluation of a bundle: give a file that `evaluate BUNDLE --json` wrote"


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
