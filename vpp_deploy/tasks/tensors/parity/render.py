"""A parity report of plain tensors for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.report_table import difference_cells, difference_style, ending, latency_lines, table, title
from vpp_deploy.tasks.tensors.parity.report import TensorParity
from vpp_deploy.terminal.console import counted


def render_tensors(report: TensorParity) -> RenderableType:
    """Tables of the worst differences by tensor, then problems and notes."""
    count = counted(len(report.frames), "frame")
    parts: list[RenderableType] = [title(report.backend, report.precision, count, report.source)]
    if report.worst("teacher_forced"):
        parts.append(_floats(report))
    if report.unequal("teacher_forced"):
        parts.append(_others(report))
    parts += latency_lines(report.latency, "call")
    return Group(*parts, *ending(report, "max, cosine", "forced", "free"))


def _floats(report: TensorParity) -> Table:
    grid = table(
        "\nTensors: difference teacher-forced (judged) and free-running (drift)",
        "tensor",
        *(f"{mode}\n{value}" for mode in ("forced", "free") for value in ("max", "mean", "cosine")),
        "tolerance",
    )
    free = report.worst("free_running")
    for name, difference in report.worst("teacher_forced").items():
        scale = max(frame.teacher_forced.scales[name] for frame in report.frames)
        tolerance = report.tolerances.difference * scale
        drift = difference_cells(free[name]) if name in free else [Text("-")] * 3
        judged = difference_cells(difference, difference_style(difference, tolerance))
        grid.add_row(name, *judged, *drift, Text(f"{tolerance:.1e}", style="dim"))
    return grid


def _others(report: TensorParity) -> Table:
    grid = table("Values that are not floats: how many differ", "tensor", "forced", "free")
    free = report.unequal("free_running")
    for name, count in report.unequal("teacher_forced").items():
        style = "red" if count else "green"
        grid.add_row(name, Text(str(count), style=style), str(free[name]) if name in free else "-")
    return grid
