"""A parity report for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.report import ParityReport, WorstDifference
from vpp_deploy.parity.task import TaskParity

_LINES = 12


def render(report: ParityReport) -> RenderableType:
    """Tables of the worst differences by tensor and of the kept tokens by selection point, then problems and notes."""
    parts: list[RenderableType] = [_title(report), _tensors(report)]
    if report.overlaps():
        parts.append(_selections(report))
    parts.append(_tracks(report))
    if report.task:
        parts += _task(report.task, report.tolerances.task)
    parts += _lines("note", report.notes, "yellow")
    parts += _lines("problem", report.problems, "red")
    parts.append(_verdict(report))
    return Group(*parts)


def _title(report: ParityReport) -> Text:
    source = f" of {report.video}" if report.video else ""
    count = f"{len(report.frames)} frame{'s' if len(report.frames) > 1 else ''}"
    return Text(f"{report.backend} ({report.precision}) against PyTorch: {count}{source}", style="bold")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, no_wrap=True, vertical="bottom")
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)


def _tensors(report: ParityReport) -> Table:
    table = _table("\nTensors: difference teacher-forced (judged) and free-running (drift)")
    _columns(
        table, "tensor", *(f"{mode}\n{value}" for mode in ("forced", "free") for value in ("max", "mean", "cosine"))
    )
    forced, free = report.worst("teacher_forced"), report.worst("free_running")
    for name, difference in forced.items():
        passed = difference.maximum <= report.tolerances.difference and not difference.non_finite
        cells = [*_cells(difference, "green" if passed else "red"), *_cells(free[name])]
        table.add_row(name, *cells)
    table.add_section()
    table.add_row("tolerance", f"{report.tolerances.difference:.1e}", style="dim")
    return table


def _cells(difference: WorstDifference, style: str = "") -> list[Text]:
    if difference.frame is None:
        maximum = mean = "-"
    else:
        maximum, mean = f"{difference.maximum:.1e}", f"{difference.mean:.1e}"
    if difference.non_finite:
        maximum = "NaN/Inf"
    cosine = "-" if difference.cosine is None else f"{difference.cosine:.4f}"
    return [Text(maximum, style=style), Text(mean), Text(cosine)]


def _selections(report: ParityReport) -> Table:
    table = _table("Kept tokens: differing ones teacher-forced, overlap free-running")
    _columns(
        table, "point", "K", "forced\nsame", "ties", "mis-\nmatches", "conse-\nquences", "free\noverlap", "free\nmin"
    )
    for name, overlap in report.overlaps().items():
        forced = [
            frame.teacher_forced.selections[name] for frame in report.frames if name in frame.teacher_forced.selections
        ]
        same = sum(not selection.differing for selection in forced)
        mismatches = sum(selection.count("mismatch") for selection in forced)
        table.add_row(
            name,
            str(forced[0].kept),
            f"{same}/{len(forced)}",
            str(sum(selection.count("tie") for selection in forced)),
            Text(str(mismatches), style="red" if mismatches else "green"),
            str(sum(selection.count("consequence") for selection in forced)),
            Text(f"{overlap['mean']:.3%}", style="green" if overlap["mean"] >= report.tolerances.overlap else "red"),
            f"{overlap['minimum']:.3%}",
        )
    return table


def _tracks(report: ParityReport) -> Text:
    tracks = report.tracks()
    iou = "-" if tracks["minimum_mask_iou"] is None else f"{tracks['minimum_mask_iou']:.4f}"
    passed = tracks["agreement"] >= report.tolerances.track_agreement
    return Text.assemble(
        "Tracks, free-running: the same in ",
        (f"{tracks['agreement']:.1%}", "green" if passed else "red"),
        f" of the frames; {tracks['tracked_objects']} objects, smallest mask IoU {iou}, "
        f"largest score difference {tracks['maximum_score_difference']:.1e}",
    )


def _task(task: TaskParity, tolerance: float) -> list[RenderableType]:
    title = Text(f"\nTask: average precision in percent, {task.videos} videos ({task.frames} frames) of {task.data}")
    table = _table("")
    _columns(table, "metric", "PyTorch", "engine", "difference")
    for name, difference in task.differences.items():
        if difference is None:
            table.add_row(name, "-", "-", "-")
            continue
        style = "green" if abs(difference) <= tolerance else "red"
        sides = (f"{getattr(side, name):.2f}" for side in (task.reference, task.engine))
        table.add_row(name, *sides, Text(f"{difference:+.2f}", style=style))
    table.add_section()
    table.add_row("tolerance", "", "", f"{tolerance:g}", style="dim")
    return [title, table]


def _lines(kind: str, lines: Sequence[str], style: str) -> list[Text]:
    shown = [Text.assemble((f"{kind}: ", style), line) for line in lines[:_LINES]]
    if (hidden := len(lines) - _LINES) > 0:
        shown.append(Text(f"{kind}s: {hidden} more in the JSON report", style=style))
    return shown


def _verdict(report: ParityReport) -> Text:
    if report.passed:
        return Text("\nParity: passed", style="bold green")
    count = len(report.problems)
    return Text(f"\nParity: failed, {count} problem{'s' if count > 1 else ''}", style="bold red")
