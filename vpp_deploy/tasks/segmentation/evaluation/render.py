"""An evaluation of instances over time for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from vpp_deploy.tasks.segmentation.evaluation.report import EvaluationReport
from vpp_deploy.terminal import console


def render_evaluation(report: EvaluationReport) -> RenderableType:
    """A row for each run, the differences to the first one, and the classes."""
    parts: list[RenderableType] = [console.title(report.data), _runs(report)]
    if len(report.runs) > 1:
        parts += ["", console.title(f"difference to {_name(report, 0)}, in points"), _differences(report)]
    return Group(*parts, "", console.title("AP_track by class"), _classes(report))


def _runs(report: EvaluationReport) -> Table:
    bundle = ("bundle",) if report.bundle is None and report.runs[0].bundle is not None else ()
    headers = ("engine", "keep", "AP_track", "mAP_bbox", "mAP_segm", "kept", "objects kept", "videos", "frames")
    table = console.table(*bundle, *headers)
    for run in report.runs:
        scores = run.scores
        table.add_row(
            *([console.one_line(run.bundle or "–")] if bundle else []),
            run.engine if run.mode in (None, "topk") else f"{run.engine} ({run.mode})",
            run.keep or "–",
            console.points(scores.ap_track),
            console.points(scores.map_bbox),
            console.points(scores.map_segm),
            "–" if run.kept_by_blocks is None else console.percent(run.kept_by_blocks),
            console.percent(list(run.objects_kept.values())[-1]) if run.objects_kept else "–",
            str(run.videos),
            str(run.frames),
        )
    return table


def _differences(report: EvaluationReport) -> Table:
    table = console.table("engine", "AP_track", "mAP_bbox", "mAP_segm")
    for number, run in enumerate(report.runs[1:], start=1):
        values = (report.differences(run) or {}).values()
        table.add_row(_name(report, number), *("–" if value is None else f"{value:+.2f}" for value in values))
    return table


def _classes(report: EvaluationReport) -> Table:
    names = [_name(report, number) for number in range(len(report.runs))]
    table = console.table("class", *names)
    for name, known in report.runs[0].scores.ap_track_by_class.items():
        if known is None:  # the data set has no object of it
            continue
        values = (run.scores.ap_track_by_class[name] for run in report.runs)
        table.add_row(console.one_line(name), *map(console.points, values))
    return table


def _name(report: EvaluationReport, number: int) -> str:
    """What tells a run from the others."""
    run = report.runs[number]
    bundle = f"{run.bundle} " if report.bundle is None and run.bundle else ""
    return console.one_line(f"{bundle}{run.engine}")
