"""The parts that the terminal's view of every parity report shares."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from vpp_deploy.parity.latency import Latency
from vpp_deploy.parity.report_common import Verdict
from vpp_deploy.parity.summary import WorstDifference
from vpp_deploy.terminal.console import counted

_LINES = 12
_LEGEND = {
    "max, cosine": "largest absolute difference, and cosine of the angle, between PyTorch's and the engine's tensor",
    "forced": "teacher-forced: the engine gets PyTorch's state on every {unit}, so that each {unit} is judged alone",
    "free": "free-running: the engine keeps its own state, so that differences add up, as in use",
    "same": "{unit}s of which both sides keep the same {kept}",
    "ties": "kept by one side alone, at a score so near the last one kept that rounding decides",
    "mismatches": "kept by one side alone although its score is clear: an error",
    "consequences": "differ because an earlier choice differed",
    "other order": "the same {kept}, listed in another order",
    "overlap": "share of the kept {kept} that both sides keep; min is that of the worst {unit}",
}
"""Words of the tables, for whoever reads one for the first time."""


def title(backend: str, precision: str, count: str, source: str | None) -> Text:
    """Who was compared, and on what."""
    of = f" of {source}" if source else ""
    return Text(f"{backend} ({precision}) against PyTorch: {count}{of}", style="bold")


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


def latency_lines(latency: Latency | None, call: str) -> list[Text]:
    """How long both sides took; nothing where it was not measured.

    Args:
        latency: of a call.
        call: what it is.
    """
    if latency is None:
        return []
    fast = "as fast" if latency.speed_up >= 1 else "as fast, so slower"
    return [
        Text(
            f"Latency of a {call}, median of {latency.calls}, taking turns: PyTorch {1e3 * latency.reference:.1f} ms, "
            f"engine {1e3 * latency.engine:.1f} ms: {latency.speed_up:.2f} times {fast}"
        )
    ]


def legend(*words: str, unit: str = "frame", kept: str = "tokens") -> list[Text]:
    """What words of the tables mean, a line each.

    Args:
        words: of the tables.
        unit: what is compared one by one.
        kept: what a model keeps a share of.
    """
    width = max(map(len, words))
    lines = [Text(f"{word:{width}}  {_LEGEND[word].format(unit=unit, kept=kept)}", style="dim") for word in words]
    return [Text("\nWords", style="dim"), *lines]


def ending(report: Verdict, *words: str, unit: str = "frame", kept: str = "tokens") -> list[Text]:
    """What every report ends with: notes, problems, what words of its tables mean, and whether the engine passed.

    Args:
        report: which.
        words: see `legend`.
        unit: see `legend`.
        kept: see `legend`.
    """
    return [
        *_lines("note", report.notes, "yellow"),
        *_lines("problem", report.problems, "red"),
        *legend(*words, unit=unit, kept=kept),
        _verdict(report.problems),
    ]


def _lines(kind: str, texts: Sequence[str], style: str) -> list[Text]:
    """A long list is cut."""
    shown = [Text.assemble((f"{kind}: ", style), text) for text in texts[:_LINES]]
    if (hidden := len(texts) - _LINES) > 0:
        shown.append(Text(f"{kind}s: {hidden} more in the JSON report", style=style))
    return shown


def _verdict(problems: Sequence[str]) -> Text:
    if not problems:
        return Text("\nParity: passed", style="bold green")
    return Text(f"\nParity: failed, {counted(len(problems), 'problem')}", style="bold red")
