"""A parity report with the accuracy of both sides on a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.tasks.segmentation.evaluation import open_dataset
from vpp_deploy.tasks.segmentation.evaluation.metrics import import_trackeval
from vpp_deploy.tasks.segmentation.parity.accuracy import check_task
from vpp_deploy.tasks.segmentation.parity.report import ParityReport
from vpp_deploy.terminal.progress import video_bar


def prepare(data: Path, videos: int) -> Callable[[Bundle, Engine, ParityReport], ParityReport]:
    """Open the data set now; score both sides when the function is called, with progress on a terminal.

    Args:
        data: folder in YouTube-VIS layout.
        videos: only the first so many.

    Returns:
        A function of bundle, engine and parity report that gives the report with the scores in it.

    Raises:
        DependencyError: TrackEval is not installed.
        DatasetError: the data set is not sound.
    """
    import_trackeval()
    dataset = open_dataset(data, videos=videos)

    def compare(bundle: Bundle, engine: Engine, report: ParityReport) -> ParityReport:
        with video_bar() as progress:
            return replace(report, task=check_task(bundle, engine, dataset, progress=progress))

    return compare
