"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from markupsafe import Markup

from vpp_deploy.engines.arithmetic import Arithmetic
from vpp_deploy.report.measurements import Candidate
from vpp_deploy.report.parity import Points
from vpp_deploy.report.svg import GRID, INK, MUTED, SERIES, figure, to_svg
from vpp_deploy.report.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS: Final = 400
"""Of a curve: more are no wider than a pixel."""
_FLOOR: Final = 1e-9
"""Differences are drawn on a logarithmic scale, on which there is no 0."""
_DASHES: Final = ("-", (0, (4, 1.5)), (0, (1, 1.5)))


class Scored(NamedTuple):
    """A run in the plane of cost and accuracy.

    Attributes:
        name: bundle and engine.
        kept: share of all tokens that a block runs on, or of the dense model's arithmetic, in [0, 1].
        accuracy: in percent.
    """

    name: str
    kept: float
    accuracy: float


def draw_stages(found: Arithmetic, name: str) -> Markup:
    """Tokens and multiply-accumulates of each block, and what they would be without pruning."""
    numbers = range(1, len(found.blocks) + 1)
    with figure(3.6) as drawn:
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
        above.stairs(
            found.tokens, [n + 0.5 for n in range(len(numbers) + 1)], color=SERIES[0], linewidth=1.8, baseline=None
        )
        above.set_ylim(0, 1.3 * max(found.tokens))
        above.set_title("tokens in each block")
        changes = [n for n in numbers if n == 1 or found.tokens[n - 1] != found.tokens[n - 2]]
        for block in changes:
            tokens = found.tokens[block - 1]
            above.annotate(f"{tokens}", (block - 0.5, tokens), (3, 3), textcoords="offset points", fontsize=8.5)
        below.bar(numbers, [count / 1e6 for count in found.blocks], width=0.72, color=SERIES[0])
        if found.dense:
            dense = found.blocks[0] / 1e6
            below.axhline(dense, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
            below.annotate(
                "without pruning", (len(numbers) + 0.5, dense), (0, 3), textcoords="offset points", ha="right"
            )
            below.set_ylim(0, 1.2 * max(dense, *(count / 1e6 for count in found.blocks)))
        below.set_title("million multiply-accumulates in each block")
        below.set_xlabel("block")
        below.set_xticks(list(numbers) if len(numbers) <= 24 else list(numbers)[:: len(numbers) // 12])
        for axes in (above, below):
            _grid(axes, "y")
        fewest = min(found.tokens)
        return to_svg(drawn, name, f"Tokens in {len(numbers)} blocks: from {found.tokens[0]} to {fewest}")


def draw_differences(curves: Mapping[str, Points], tolerance: float | None, unit: str, name: str) -> Markup:
    """Each tensor's largest difference over the frames, on a logarithmic scale, and what passes."""
    with figure(2.6 + 0.18 * ((len(curves) + 2) // 3)) as drawn:
        axes = drawn.subplots()
        styles = cycle([(colour, dash) for dash in _DASHES for colour in SERIES])
        for (tensor, points), (colour, dash) in zip(curves.items(), styles, strict=False):
            indices, values = zip(*thinned(points), strict=True)
            heights = [max(value, _FLOOR) for value in values]
            marker = "o" if len(indices) < 40 else None
            axes.plot(
                indices,
                heights,
                color=colour,
                linestyle=dash,
                linewidth=1.5,
                marker=marker,
                markersize=3,
                label=short(tensor),
            )
        if tolerance:
            axes.axhline(tolerance, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label=f"tolerance {tolerance:g}")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:.0e}")
        axes.yaxis.set_minor_formatter("")
        axes.set_xlabel(unit)
        axes.set_title("largest absolute difference")
        _whole_numbers(axes)
        _grid(axes, "y")
        drawn.legend(loc="outside lower left", ncols=3, fontsize=8.5)
        return to_svg(drawn, name, f"Largest difference of {len(curves)} tensors from the reference over the {unit}s")


def draw_shares(curves: Mapping[str, Points], unit: str, name: str) -> Markup:
    """Share of kept tokens that both sides have in common, over the frames."""
    with figure(2.0 + 0.18 * ((len(curves) + 2) // 3)) as drawn:
        axes = drawn.subplots()
        for (point, points), colour in zip(curves.items(), cycle(SERIES), strict=False):
            indices, values = zip(*thinned(points, least=True), strict=True)
            axes.plot(indices, [100 * value for value in values], color=colour, linewidth=1.5, label=short(point))
        lowest = min(value for points in curves.values() for _, value in points)
        axes.set_ylim(100 * lowest - max(1.0, 10 * (1 - lowest)), 100.6)
        axes.set_xlabel(unit)
        axes.set_title("kept tokens in common with the reference, %")
        _whole_numbers(axes)
        _grid(axes, "y")
        drawn.legend(loc="outside lower left", ncols=3, fontsize=8.5)
        return to_svg(drawn, name, f"Kept tokens in common with the reference: at least {100 * lowest:.1f}%")


def draw_speed(candidates: Sequence[Candidate], name: str) -> Markup:
    """Median of a call as bars, by part where the parts are known, and up to where 9 of 10 calls stay."""
    with figure(0.9 + 0.42 * len(candidates)) as drawn:
        axes = drawn.subplots()
        parts = list(dict.fromkeys(part for candidate in candidates for part in candidate.parts))
        colours = dict(zip(parts, cycle(SERIES), strict=False))
        for row, candidate in enumerate(candidates):
            known = {part: 1e3 * times.median for part, times in candidate.parts.items()}
            whole = 1e3 * candidate.latency.median
            left = 0.0
            for part, width in known.items():
                axes.barh(row, width, left=left, height=0.6, color=colours[part], label=short(part))
                left += width
            if not known:
                axes.barh(row, whole, height=0.6, color=MUTED, label="whole call")
            p90 = 1e3 * candidate.latency.p90
            axes.plot([whole, p90], [row, row], color=INK, linewidth=1)
            axes.annotate(f"{whole:.1f} ms", (max(p90, whole), row), (5, 0), textcoords="offset points", va="center")
        names = [short(f"{candidate.bundle} {candidate.engine}") for candidate in candidates]
        axes.set_yticks(range(len(candidates)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.2 * max(1e3 * max(one.latency.p90, one.latency.median) for one in candidates))
        axes.set_xlabel("milliseconds a call: median, and a line to the 90th percentile")
        _grid(axes, "x")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        drawn.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=4, fontsize=8.5)
        fastest = min(candidates, key=lambda one: one.latency.median)
        return to_svg(
            drawn, name, f"Milliseconds a call of {len(candidates)} candidates; {short(fastest.engine)} is fastest"
        )


def draw_accuracy(runs: Sequence[Scored], label: str, name: str, across: str) -> Markup:
    """Accuracy against the share of what is pruned, which `across` names; the best runs are joined by a line."""
    with figure(3.2) as drawn:
        axes = drawn.subplots()
        front = pareto_front(runs)
        axes.plot([100 * run.kept for run in front], [run.accuracy for run in front], color=MUTED, linewidth=0.9)
        for run in runs:
            axes.scatter(100 * run.kept, run.accuracy, color=SERIES[0], s=28, zorder=3)
            right = run.kept < 0.6
            axes.annotate(
                short(run.name),
                (100 * run.kept, run.accuracy),
                (6, -12) if right else (-6, 5),  # beside the line, which rises
                textcoords="offset points",
                ha="left" if right else "right",
                fontsize=8.5,
            )
        axes.set_xlim(0, 105)
        axes.margins(y=0.25)
        axes.set_xlabel(f"{across}, % of all")
        axes.set_title(f"{label}, %")
        _grid(axes, "both")
        return to_svg(drawn, name, f"{label} of {len(runs)} runs against the share of {across}")


def pareto_front(runs: Sequence[Scored]) -> list[Scored]:
    """The runs that no other one beats in both tokens and accuracy, fewest tokens first."""
    front: list[Scored] = []
    for run in sorted(runs, key=lambda run: (run.kept, -run.accuracy)):
        if not front or run.accuracy > front[-1].accuracy:
            front.append(run)
    return front


def thinned(points: Points, *, least: bool = False) -> Points:
    """At most `_MOST_POINTS` of them: of neighbours the one with the greatest value, or the least one."""
    size = -(-len(points) // _MOST_POINTS)
    choose: Any = min if least else max
    return [choose(points[at : at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]


def _grid(axes: Axes, axis: Literal["x", "y", "both"]) -> None:
    axes.set_axisbelow(True)
    axes.grid(axis=axis, color=GRID)
    axes.tick_params(which="both", length=0)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
