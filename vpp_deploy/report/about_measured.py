"""The parts of a page that are about what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

from markupsafe import Markup

from vpp_deploy.bundle import Bundle
from vpp_deploy.report import figures
from vpp_deploy.report.about_bundle import summaries
from vpp_deploy.report.measurements import METRICS, Benchmark, Evaluation, Run
from vpp_deploy.report.parity import MODES, Parity
from vpp_deploy.report.tables import Block, Table
from vpp_deploy.report.text import milliseconds, percent, points, scientific
from vpp_deploy.tasks import TASKS

_MOST_CURVES: Final = 18
_MOST_LINES: Final = 20


def parity(bundle: Bundle, checks: Sequence[Parity]) -> list[Block]:
    """Each check that was given, and in one line what the bundle keeps of others."""
    given = {check.backend for check in checks}
    blocks = [block for number, check in enumerate(checks) for block in _check(check, f"parity-{number}")]
    page = TASKS[bundle.manifest.task].page(bundle)
    for backend, summary in summaries(bundle).items():
        if backend not in given:
            try:
                text = f"{'Passed' if summary['passed'] else 'FAILED'} {page.parity(summary)}."
            except (KeyError, TypeError, ValueError):
                text = "The summary in the bundle cannot be read; measure it again."
            blocks.append(Block(backend, text=text))
    if not blocks:
        blocks.append(Block(text=f"Not measured yet. Measure it with: {page.measure} --json parity.json"))
    return blocks


def _check(check: Parity, name: str) -> Iterator[Block]:
    unit = "frame" if "free_running" in check.tensors else "sample"
    compared = f" on {len(check.rows)} {unit}s" if check.rows else ""
    of = f" of {PurePath(check.source).name}" if check.source else ""
    agreement = "" if check.agreement is None else f" Same {'tracks' if unit == 'frame' else 'label'} in "
    agreement += "" if check.agreement is None else f"{percent(check.agreement)} of the {unit}s."
    yield Block(
        f"{check.backend}: {'passed' if check.passed else 'FAILED'}",
        text=f"{check.precision}{compared}{of}, {check.created}.{agreement}{_latency(check)}",
        lines=[*check.problems[:_MOST_LINES], *check.notes[:_MOST_LINES]],
    )
    for mode, words in MODES.items():
        curves = dict(list(check.differences(mode).items())[:_MOST_CURVES])
        rows = [
            (name, scientific(worst.maximum), scientific(worst.mean), _cosine(worst.cosine), _number(worst.frame))
            for name, worst in check.tensors.get(mode, {}).items()
        ]
        if not rows:
            continue
        heading = f"Differences, {words}" if unit == "frame" else "Differences"
        tolerance = check.tolerance if mode == "teacher_forced" else None
        drawn = figures.draw_differences(curves, tolerance, unit, f"{name}-{mode}") if curves else None
        headers = ("tensor", "largest", "mean", "least cosine", f"in {unit}")
        yield Block(heading, figure=drawn, table=Table(rows, headers, numbers=(1, 2, 3, 4)))
    if shares := dict(list(check.overlaps().items())[:_MOST_CURVES]):
        drawn = None
        if all(share == 1 for points in shares.values() for _, share in points):
            text = f"Both sides keep the same tokens at {', '.join(shares)}, in every {unit}."
        else:
            text = "Share of the kept tokens that both sides keep."
            drawn = figures.draw_shares(shares, unit, f"{name}-shares")
        yield Block("Decisions", text=text, figure=drawn)
    if check.versions:
        yield Block("Versions", table=Table(list(check.versions.items())))


def _latency(check: Parity) -> str:
    if check.latency is None:
        return ""
    sides = f"PyTorch {milliseconds(check.latency.reference)} ms, engine {milliseconds(check.latency.engine)} ms"
    return (
        f" A call, median of {check.latency.calls}, taking turns: {sides}, {check.latency.speed_up:.2f} times as fast."
    )


def speed(report: Benchmark, name: str) -> Block:
    """Bars and a table of one benchmark."""
    first = report.candidates[0]
    unit = first.unit if first.items > 1 else first.unit.removesuffix("s")
    rows = []
    for one in report.candidates:
        ratio = "1" if one.ratio is None else f"{one.ratio.value:.2f} ({one.ratio.low:.2f} to {one.ratio.high:.2f})"
        times = [milliseconds(value) for value in (one.latency.median, one.latency.p90, one.latency.minimum)]
        rows.append((f"{one.bundle} {one.engine}", *times, f"{one.rate:.1f}", ratio))
    machine = report.machine
    where = ", ".join(str(machine[key]) for key in ("processor", "system", "date") if machine.get(key))
    gpus = machine.get("gpus")
    where += f"; {', '.join(map(str, gpus))}" if isinstance(gpus, list) and gpus else ""
    versions = machine.get("versions")
    where += f". {', '.join(f'{k} {v}' for k, v in versions.items())}" if isinstance(versions, dict) else ""
    return Block(
        text=f"{report.source}, {first.items} {unit} a call, {report.rounds} calls each, alternating. {where}.",
        figure=figures.draw_speed(report.candidates, name),
        table=Table(
            rows,
            ("", "ms a call", "p90", "min", f"{first.unit} per second", f"time over {first.engine}"),
            numbers=(1, 2, 3, 4, 5),
        ),
    )


def accuracy(evaluations: Sequence[Evaluation]) -> list[Block]:
    """Scores against tokens kept over all evaluations on the same data, and a table of them."""
    blocks = []
    groups: list[list[Evaluation]] = []
    for one in evaluations:
        group = next((group for group in groups if one.is_on_data_of(group[0])), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    for number, group in enumerate(groups):
        runs = [(run.bundle or "", run) for one in group for run in one.runs]
        metrics = {
            key: label for key, label in METRICS.items() if any(getattr(run, key) is not None for _, run in runs)
        }
        rows = [
            (
                " ".join(filter(None, (bundle, run.engine))),
                run.keep or "–",
                percent(run.kept_by_blocks if run.cost is None else run.cost),
                *(points(getattr(run, key)) for key in metrics),
                run.scored,
            )
            for bundle, run in runs
        ]
        share = "arithmetic" if all(run.cost is not None for _, run in runs) else "tokens kept"
        headers = ("", "keep", share, *metrics.values(), "on")
        table = Table(rows, headers, numbers=range(2, 3 + len(metrics)))
        drawn = _plane(runs, f"accuracy-{number}")
        blocks.append(Block(text=f"On {PurePath(group[0].data).name}, in percent.", figure=drawn, table=table))
    return blocks


def _plane(runs: Sequence[tuple[str, Run]], name: str) -> Markup | None:
    for key, label in METRICS.items():
        classifiers = key.startswith("top")
        scored = [
            figures.Scored(" ".join(filter(None, (bundle, run.engine))), share, score)
            for bundle, run in runs
            if (share := run.cost if classifiers else run.kept_by_blocks) is not None
            and (score := getattr(run, key)) is not None
        ]
        if scored:
            across = "arithmetic" if classifiers else "tokens that a block runs on, mean"
            return figures.draw_accuracy(scored, label, name, across)
    return None


def _cosine(value: float | None) -> str:
    return "–" if value is None else f"{value:.7f}"


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)
