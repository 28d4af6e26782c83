"""The parts that the terminal's view of every parity report shares."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.summary import WorstDifference

_LINES = 12


def title(backend: str, precision: str, count: str, source: str | None) -> Text:
    """Who was compared, and on what."""
    of = f" of {source}" if source else ""
    return Text(f"{backend} ({precision}) against PyTorch: {count}{of}", style="bold")


def counted(number: int, noun: str) -> str:
    """`1 frame`, `3 frames`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(heading: str, first: str, *others: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    grid = Table(title=heading, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column(first, no_wrap=True, vertical="bottom")
    for header in others:
        grid.add_column(header, justify="right", no_wrap=True)
    return grid


def difference_cells(difference: WorstDifference, style: str = "") -> list[Text]:
    """Maximum, mean and cosine."""
    if difference.frame is None:
        maximum = mean = "-"
    else:
        maximum, mean = f"{difference.maximum:.1e}", f"{difference.mean:.1e}"
    if difference.non_finite:
        maximum = "NaN/Inf"
    cosine = "-" if difference.cosine is None else f"{difference.cosine:.4f}"
    return [Text(maximum, style=style), Text(mean), Text(cosine)]


def difference_style(difference: WorstDifference, tolerance: float) -> str:
    """Green within the tolerance, red beyond it."""
    return "green" if difference.maximum <= tolerance and not difference.non_finite else "red"


def lines(kind: str, texts: Sequence[str], style: str) -> list[Text]:
    """Notes or problems; a long list is cut."""
    shown = [Text.assemble((f"{kind}: ", style), text) for text in texts[:_LINES]]
    if (hidden := len(texts) - _LINES) > 0:
        shown.append(Text(f"{kind}s: {hidden} more in the JSON report", style=style))
    return shown


def verdict(problems: Sequence[str]) -> Text:
    """The last line."""
    if not problems:
        return Text("\nParity: passed", style="bold green")
    return Text(f"\nParity: failed, {counted(len(problems), 'problem')}", style="bold red")
