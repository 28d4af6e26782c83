"""A classifier's parity report for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.report_table import difference_cells, difference_style, ending, latency_lines, table, title
from vpp_deploy.tasks.classification.parity.report import ClassificationParity
from vpp_deploy.tasks.classification.parity.sample import ANSWERS
from vpp_deploy.terminal.console import counted


def render_classification(report: ClassificationParity) -> RenderableType:
    """Tables of the worst differences by tensor and of the kept patches by pruning point, then problems and notes."""
    count = counted(len(report.samples), report.kind)
    parts: list[RenderableType] = [title(report.backend, report.precision, count, report.source), _tensors(report)]
    if report.patches():
        parts.append(_patches(report))
    batch = max(1, len(report.slots))
    parts += [*_labels(report), *_slots(report)]
    parts += latency_lines(report.latency, report.kind if batch == 1 else f"batch of {batch}")
    words = ("same", "ties", "mismatches", "other order", "overlap") if report.patches() else ()
    return Group(*parts, *ending(report, "max, cosine", *words, unit=report.kind, kept="patches"))


def _tensors(report: ClassificationParity) -> Table:
    grid = table(
        "\nTensors: difference; of features and significance maps, relative to their largest value",
        "tensor",
        "max",
        "mean",
        "cosine",
        "tolerance",
    )
    for name, difference in report.worst().items():
        tolerance = report.tolerances.of(name)
        cells = difference_cells(difference, difference_style(difference, tolerance))
        grid.add_row(name, *cells, Text(f"{tolerance:.1e}", style="dim"))
    return grid


def _patches(report: ClassificationParity) -> Table:
    columns = ("K", "same", "ties", "mis-\nmatches", "other\norder", "overlap", "min")
    grid = table("Kept patches", "point", *columns)
    for name, points in report.patches().items():
        overlap = report.overlaps()[name]
        mismatches = sum(point.selection.count("mismatch") for point in points)
        wrong_order = any(point.order == "mismatch" for point in points)
        grid.add_row(
            name,
            str(points[0].selection.kept),
            f"{sum(not point.selection.differing for point in points)}/{len(points)}",
            str(sum(point.selection.count("tie") for point in points)),
            Text(str(mismatches), style="red" if mismatches else "green"),
            Text(str(sum(point.order != "same" for point in points)), style="red" if wrong_order else ""),
            f"{overlap['mean']:.3%}",
            f"{overlap['minimum']:.3%}",
        )
    return grid


def _labels(report: ClassificationParity) -> list[Text]:
    labels = report.labels()
    if labels is None:
        return []
    return [
        Text(
            f"Labels: the same best one for {labels['top1_agreement']:.1%} of the {report.kind}s, "
            f"{labels['top5_agreement']:.1%} of the five best in common"
        )
    ]


def _slots(report: ClassificationParity) -> list[Text]:
    differences = report.slot_differences()
    if not differences:
        return []
    answer = next(name for name in differences if name in ANSWERS)
    value = differences.pop(answer)
    significance = f", significance {max(differences.values()):.1e}" if differences else ""
    batch = len(report.slots)
    return [Text(f"The same {report.kind} in all {batch} slots of a batch: {answer} within {value:.1e}{significance}")]
