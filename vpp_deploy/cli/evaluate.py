"""`vpp-deploy evaluate`: how well does a model do its task, on which engine?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.json_file import report_file
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import check_places, find_target, fitting, real_path
from vpp_deploy.files.separation import check_files, check_outputs
from vpp_deploy.options import MOST
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import video_bar

if TYPE_CHECKING:
    from vpp_deploy.bundle import Bundle

EXAMPLES = (
    "vpp-deploy evaluate small.bundle --data valid/ --json scores.json",
    "vpp-deploy evaluate small.bundle --data valid/ --engine torch",
    "vpp-deploy evaluate dense.bundle 0.5.bundle --data val/ --images 5000",
    "vpp-deploy evaluate vit.bundle --data labels.csv",
    "vpp-deploy evaluate --predictions results.zip --data valid/",
)


def command(
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Data set: in YouTube-VIS layout (JPEGImages and a JSON file); of classifiers, a folder with a folder "
            "for each class, or a CSV file of path,label.",
            show_default=False,
        ),
    ],
    bundle: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BUNDLE...", help="Folder that `vpp-deploy export` wrote; several side by side.", show_default=False
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Annotation file; of classifiers, a CSV file of path,label.",
            show_default="DIR/instances.json, valid.json, ...",
        ),
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
        int | None,
        typer.Option(
            metavar="N", help="Of segmentation: only the first N videos.", show_default="all", min=1, max=MOST
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Of classifiers: only N images, spread evenly over all.",
            show_default="all",
            min=1,
            max=MOST,
        ),
    ] = None,
    mode: Annotated[
        Literal["topk", "threshold"],
        typer.Option(help="Token selection: as exported, or as in training (torch only)."),
    ] = "topk",
    keep_going: Annotated[
        bool, flag("--keep-going", help="Leave out videos or images with a fault instead of stopping.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.", show_default=False)
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Of segmentation: folder for predictions so far, from where the same call goes on. Kept at the end.",
            show_default="FILE.work or BUNDLE.work, removed at the end",
        ),
    ] = None,
) -> None:
    """Score engines on a data set: AP of tracks, mAP of boxes and masks; of classifiers top-1 and top-5."""
    if (not bundle) == (predictions is None):
        raise UsageError("evaluate: give a bundle or --predictions, one of them")
    if not bundle and (engine or work or images or mode != "topk"):
        raise UsageError("--predictions are scored as they are; leave out --engine, --images, --mode and --work")
    check_places(json)
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.tasks import TASKS, evaluate, open_data
    from vpp_deploy.tasks.engines import check_engines

    engines = engine or ["onnxruntime"]
    check_engines(engines)
    opened = [Bundle.open(path) for path in bundle or ()]
    read = [path for path in (data, annotations, predictions, *(bundle or ())) if path is not None]
    check_outputs([] if json is None else [json], inputs=read)
    task = TASKS[opened[0].manifest.task if opened else "segmentation"]
    options: dict[str, Any] = {}
    kept_in = None
    if task.keeps_predictions:
        if images:
            raise UsageError(f"--images {images}: {task.title} models are evaluated on videos; use --videos")
        if opened:
            kept_in = work or _work_beside((json and find_target(json)) or real_path(opened[0].path))
            options = {"mode": mode, "work": kept_in, "keep_work": work is not None}
    elif videos or work or mode != "topk":
        raise UsageError(f"--videos, --mode and --work are not for {task.title} models; use --images")
    outputs = [path for path in (json, kept_in) if path is not None]
    check_outputs(outputs, inputs=read)
    if predictions:
        from vpp_deploy.tasks.segmentation.evaluation import evaluate_predictions, open_dataset

        dataset: Any = open_dataset(data, annotations, videos=videos, keep_going=keep_going)
    else:
        dataset = open_data(opened, data, annotations, limit=videos or images, keep_going=keep_going)
    check_files(outputs, files=dataset.paths())
    with report_file(json) as write:
        if predictions:
            report: Any = evaluate_predictions(predictions, dataset)
        else:
            with _saying_where(kept_in), video_bar(task.evaluated) as progress:
                report = evaluate(
                    opened,
                    dataset,
                    engines,
                    progress=progress,
                    **options,
                )
        plain = report.to_dict()
        for item in plain["skipped"]:
            console.warn(f"skipped {task.evaluated} {item[task.evaluated]}: {item['reason']}")
        if task.render_evaluation:
            console.show(task.render_evaluation(report))
        write(plain)
    if any(one.manifest.provenance.weights.kind == "random" for one in opened):
        console.warn(f"{_whose(opened)} weights are random and untrained: the scores mean nothing")


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


def _whose(bundles: Sequence[Bundle]) -> str:
    return "the bundle's" if len(bundles) == 1 else "a bundle's"
