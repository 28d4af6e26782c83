"""A parity report for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.report_table import difference_cells, difference_style, ending, latency_lines, table, title
from vpp_deploy.tasks.segmentation.parity.accuracy import TaskParity
from vpp_deploy.tasks.segmentation.parity.report import ParityReport
from vpp_deploy.terminal.console import counted


def render(report: ParityReport) -> RenderableType:
    """Tables of the worst differences by tensor and of the kept tokens by selection point, then problems and notes."""
    count = counted(len(report.frames), "frame")
    parts: list[RenderableType] = [title(report.backend, report.precision, count, report.video), _tensors(report)]
    if report.overlaps():
        parts.append(_selections(report))
    parts += [_tracks(report), *latency_lines(report.latency, "frame")]
    if report.task:
        parts += _task(report.task, report.tolerances.task)
    return Group(
        *parts, *ending(report, "max, cosine", "forced", "free", "ties", "mismatches", "consequences", "overlap")
    )


def _tensors(report: ParityReport) -> Table:
    grid = table(
        "\nTensors: difference teacher-forced (judged) and free-running (drift)",
        "tensor",
        *(f"{mode}\n{value}" for mode in ("forced", "free") for value in ("max", "mean", "cosine")),
    )
    forced, free = report.worst("teacher_forced"), report.worst("free_running")
    for name, difference in forced.items():
        style = difference_style(difference, report.tolerances.difference)
        grid.add_row(name, *difference_cells(difference, style), *difference_cells(free[name]))
    grid.add_section()
    grid.add_row("tolerance", f"{report.tolerances.difference:.1e}", style="dim")
    return grid


def _selections(report: ParityReport) -> Table:
    heading = "Kept tokens: differing ones teacher-forced, overlap free-running"
    columns = ("K", "forced\nsame", "ties", "mis-\nmatches", "conse-\nquences", "free\noverlap", "free\nmin")
    grid = table(heading, "point", *columns)
    for name, overlap in report.overlaps().items():
        forced = [
            frame.teacher_forced.selections[name] for frame in report.frames if name in frame.teacher_forced.selections
        ]
        same = sum(not selection.differing for selection in forced)
        mismatches = sum(selection.count("mismatch") for selection in forced)
        grid.add_row(
            name,
            str(forced[0].kept),
            f"{same}/{len(forced)}",
            str(sum(selection.count("tie") for selection in forced)),
            Text(str(mismatches), style="red" if mismatches else "green"),
            str(sum(selection.count("consequence") for selection in forced)),
            Text(f"{overlap['mean']:.3%}", style="green" if overlap["mean"] >= report.tolerances.overlap else "red"),
            f"{overlap['minimum']:.3%}",
        )
    return grid


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
    heading = Text(f"\nTask: average precision in percent, {task.videos} videos ({task.frames} frames) of {task.data}")
    grid = table("", "metric", "PyTorch", "engine", "difference")
    for name, difference in task.differences.items():
        if difference is None:
            grid.add_row(name, "-", "-", "-")
            continue
        style = "green" if abs(difference) <= tolerance else "red"
        sides = (f"{getattr(side, name):.2f}" for side in (task.reference, task.engine))
        grid.add_row(name, *sides, Text(f"{difference:+.2f}", style=style))
    grid.add_section()
    grid.add_row("tolerance", "", "", f"{tolerance:g}", style="dim")
    return [heading, grid]
