"""An evaluation of classifiers for the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.tasks.classification.evaluation.dataset import BY_ORDER
from vpp_deploy.tasks.classification.evaluation.report import ClassificationEvaluation
from vpp_deploy.terminal import console

_MOST_CLASSES: Final = 20
"""That are shown; of more, the worst ones are."""


def render_evaluation(report: ClassificationEvaluation) -> RenderableType:
    """A row for each run, and the classes."""
    parts: list[RenderableType] = [console.title(report.data), _runs(report)]
    if BY_ORDER in report.matched:
        parts += ["", f"classes are matched {BY_ORDER}: no folder has the name of a class of the model"]
    return Group(*parts, "", *_classes(report))


def _runs(report: ClassificationEvaluation) -> Table:
    several = len(report.runs) > 1
    differences = ("top-1 difference", "same label") if several else ()
    table = console.table("bundle", "engine", "keep", "top-1", "top-5", *differences, "GFLOPs", "images")
    for run in report.runs:
        cells = [run.bundle, run.engine, run.keep, console.points(run.top1), console.points(run.top5)]
        if several:
            difference = report.differences(run)
            cells.append("–" if difference is None else f"{difference['top1']:+.2f}")
            cells.append("–" if run.agreement is None else f"{run.agreement:.2f}%")
        table.add_row(*map(console.one_line, cells), f"{run.gflops:.2f}", str(run.images))
    return table


def _classes(report: ClassificationEvaluation) -> tuple[Text, Table]:
    first = report.runs[0].by_class
    places = list(range(len(first)))
    title = "top-1 by class"
    if len(first) > _MOST_CLASSES:
        places = sorted(places, key=lambda place: first[place].top1)[:_MOST_CLASSES]
        title += f", the worst {_MOST_CLASSES} of {len(first)}; --json has all"
    several = len({run.bundle for run in report.runs}) > 1
    names = (f"{run.bundle} {run.engine}" if several else run.engine for run in report.runs)
    table = console.table("class", "images", *map(console.one_line, names))
    for place in places:
        scores = (console.points(run.by_class[place].top1) for run in report.runs)
        table.add_row(console.one_line(first[place].name), str(first[place].images), *scores)
    return console.title(title), table
