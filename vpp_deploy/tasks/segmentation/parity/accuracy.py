"""Whether an engine does the task as well as the PyTorch reference: average precision on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.parity.tolerances import Tolerances
from vpp_deploy.tasks.engines import TORCH
from vpp_deploy.tasks.segmentation.evaluation import Dataset, EvaluationRun, evaluate, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.metrics import Scores, differences
from vpp_deploy.tasks.segmentation.evaluation.runner import Progress


@dataclass(frozen=True, slots=True)
class TaskParity:
    """The scores of both sides on the same videos.

    Attributes:
        data: name of the data set's folder.
        videos: how many were scored.
        frames: how many were scored.
        reference: the reference's average precisions in percent.
        engine: the engine's.
    """

    data: str
    videos: int
    frames: int
    reference: Scores
    engine: Scores

    @property
    def differences(self) -> dict[str, float | None]:
        """Engine minus reference in points of percent, by metric; None where no object is annotated."""
        return differences(self.reference, self.engine)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the differences."""
        return {**asdict(self), "differences": self.differences}


def check_task(
    bundle: Bundle,
    engine: Engine,
    data: Dataset | Path | str,
    *,
    reference: Engine | None = None,
    progress: Progress = lambda done, total, what: None,
) -> TaskParity:
    """Score the PyTorch reference and an engine on a data set.

    Args:
        bundle: the bundle that the engine was made from.
        engine: the engine under test.
        data: the data set: a folder in YouTube-VIS layout, or what `open_dataset` made of one.
        reference: what to compare with; None takes PyTorch.
        progress: see `Progress`.

    Raises:
        VppDeployError: as `vpp_deploy.tasks.segmentation.evaluation.evaluate`.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    count = len(dataset.videos)

    def run(chosen: Engine | str, before: int) -> EvaluationRun:
        report = evaluate(
            bundle, dataset, [chosen], progress=lambda done, _, what: progress(before + done, 2 * count, what)
        )
        return report.runs[0]

    truth, tested = run(reference or TORCH, 0), run(engine, count)
    return TaskParity(dataset.folder.resolve().name, tested.videos, tested.frames, truth.scores, tested.scores)


def task_problems(task: TaskParity, tolerances: Tolerances) -> Iterator[str]:
    """In what the engine misses the bar, one line each."""
    for name, difference in task.differences.items():
        if difference is not None and abs(difference) > tolerances.task:
            sides = f"{getattr(task.engine, name):.2f}, not {getattr(task.reference, name):.2f}"
            yield f"task: {name} {sides}: differs by {abs(difference):.2f} > {tolerances.task:g} points ({task.data})"
    if None in task.differences.values():
        yield f"task: no object is annotated in the {task.videos} videos of {task.data}: nothing was compared"


def task_notes(task: TaskParity) -> Iterator[str]:
    """What limits the meaning of the comparison, one line each."""
    if task.reference.ap_track == task.reference.map_segm == 0:
        yield f"task: the reference finds nothing in {task.data} (AP 0), so that equal scores say little"
