"""`vpp-deploy evaluate`: how well does a model do its task, on which engine?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_deploy.cli.json_file import report_file
from vpp_deploy.cli.options import flag
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import find_target, fitting, real_path
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import video_bar

if TYPE_CHECKING:
    from vpp_deploy.tasks.segmentation.evaluation import EvaluationReport

EXAMPLES = (
    "vpp-deploy evaluate small.bundle --data valid/ --json scores.json",
    "vpp-deploy evaluate small.bundle --data valid/ --engine torch",
    "vpp-deploy evaluate --predictions results.zip --data valid/",
)


def command(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Data set in YouTube-VIS layout: JPEGImages and a JSON file.", show_default=False
        ),
    ],
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Folder that `vpp-deploy export` wrote.", show_default=False)
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Annotation file.", show_default="DIR/instances.json, valid.json, ..."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Engine: torch (the reference), {', '.join(BACKENDS)}; repeat it for more.",
            show_default="onnxruntime",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Score a YouTube-VIS submission (JSON or zip) instead.", show_default=False),
    ] = None,
    videos: Annotated[
        int | None, typer.Option(metavar="N", help="Only the first N videos.", show_default="all", min=1, max=MOST)
    ] = None,
    mode: Annotated[
        Literal["topk", "threshold"],
        typer.Option(help="Token selection: as exported, or as in training (torch only)."),
    ] = "topk",
    keep_going: Annotated[
        bool, flag("--keep-going", help="Leave out videos with a fault instead of stopping.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.", show_default=False)
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for predictions so far: the same call again goes on from there. Kept at the end.",
            show_default="FILE.work or BUNDLE.work, removed at the end",
        ),
    ] = None,
) -> None:
    """Score engines on a data set: AP of tracks (YouTube-VIS), mAP of boxes and masks (COCO, frame by frame)."""
    if (bundle is None) == (predictions is None):
        raise UsageError("evaluate: give a bundle or --predictions, one of them")
    if bundle is None and (engine or work or mode != "topk"):
        raise UsageError("--predictions are scored as they are; leave out --engine, --mode and --work")
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.tasks.segmentation.evaluation import evaluate, evaluate_predictions, open_dataset

    opened = None if bundle is None else Bundle.open(bundle)
    read = [path for path in (data, annotations, predictions, bundle) if path is not None]
    check_outputs([] if json is None else [json], inputs=read)
    kept_in = work or (_work_beside((json and find_target(json)) or real_path(opened.path)) if opened else None)
    check_outputs([path for path in (json, kept_in) if path is not None], inputs=read)
    dataset = open_dataset(data, annotations, videos=videos, keep_going=keep_going)
    with report_file(json) as write:
        if opened:
            with _saying_where(kept_in), video_bar() as progress:
                report = evaluate(
                    opened,
                    dataset,
                    engine or ["onnxruntime"],
                    mode=mode,
                    work=kept_in,
                    keep_work=work is not None,
                    progress=progress,
                )
        elif predictions:
            report = evaluate_predictions(predictions, dataset)
        for video in report.skipped:
            console.warn(f"skipped video {video.video}: {video.reason}")
        show_report(report)
        write(report.to_dict())
    if opened and opened.manifest.provenance.weights.kind == "random":
        console.warn("the bundle's weights are random and untrained: the scores mean nothing")


@contextmanager
def _saying_where(folder: Path | None) -> Iterator[None]:
    """Add to whatever ends the block where the predictions until then are."""
    try:
        yield
    except BaseException as error:
        if folder is not None and any(folder.glob("*/*.json")):
            error.add_note(f"the predictions until then are in {folder}, and the same command goes on from there")
        raise


def _work_beside(path: Path) -> Path | None:
    """Where predictions are kept if nothing is said; nowhere if that cannot be written to."""
    return path.with_name(fitting(path.name, ".work")) if os.access(path.parent, os.W_OK) else None


def show_report(report: EvaluationReport) -> None:
    """Print the table of all runs."""
    table = console.table(
        "engine",
        "keep",
        "AP_track",
        "mAP_bbox",
        "mAP_segm",
        "kept",
        "objects kept",
        "videos",
        "frames",
        title=report.data,
    )
    for run in report.runs:
        scores = run.scores
        table.add_row(
            run.engine if run.mode in (None, "topk") else f"{run.engine} ({run.mode})",
            run.keep or "–",
            _points(scores.ap_track),
            _points(scores.map_bbox),
            _points(scores.map_segm),
            "–" if run.kept_by_blocks is None else console.percent(run.kept_by_blocks),
            console.percent(list(run.objects_kept.values())[-1]) if run.objects_kept else "–",
            str(run.videos),
            str(run.frames),
        )
    console.show(table)


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
