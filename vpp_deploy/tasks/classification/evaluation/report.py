"""The outcome of a classifier's evaluation, for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

REPORT_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How one class fared.

    Attributes:
        label: the model's.
        name: of the class, as the model calls it.
        images: that are of it.
        top1: percent of them whose best label it is.
        top5: percent of them that have it among the five best; None of a model with no more than five classes.
    """

    label: int
    name: str
    images: int
    top1: float
    top5: float | None


@dataclass(frozen=True, slots=True)
class ClassificationRun:
    """One engine of one bundle on a data set.

    Attributes:
        bundle: name of its folder.
        engine: `torch` or a backend.
        keep: the keep ratio, in words.
        top1: percent of the images whose best label is right.
        top5: percent that have the right one among the five best; None of a model with no more than five classes.
        by_class: the classes that the data set has, in the order of their labels.
        agreement: percent of the images with the same best label as in the first run; None of the first one.
        kept: share of all patches kept at each pruning point, in [0, 1], by name.
        cost: multiply-accumulates over those of the dense model.
        gflops: 10^9 multiply-accumulates for one image or clip.
        images: how many images (of models of clips: videos) were scored.
        bundle_hash: see `Manifest.bundle_hash`.
    """

    bundle: str
    engine: str
    keep: str
    top1: float
    top5: float | None
    by_class: Sequence[ClassScores]
    agreement: float | None
    kept: Mapping[str, float]
    cost: float
    gflops: float
    images: int
    bundle_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ClassificationEvaluation:
    """What an evaluation measured. All runs are scored on the same images.

    Attributes:
        data: the data set's folder or table.
        matched: how its classes were matched with the model's, in words.
        runs: bundle by bundle, in the order asked for.
        skipped: files with a fault, which no run was scored on, and why.
        data_hash: equal if files of the same names were scored against the same classes.
    """

    data: str
    matched: str
    runs: tuple[ClassificationRun, ...]
    skipped: tuple[tuple[str, str], ...]
    data_hash: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report, ready for JSON.

        - `schema` (1), `task` (`classification`), `bundle` (name, or null where there are several), `data` (path),
          `data_hash`, `matched` (how classes were).
        - `runs`: each has `bundle`, `bundle_hash`, `engine`, `keep`, `top1`, `top5` (in percent), `by_class` (each
          `label`, `name`, `images`, `top1`, `top5`), `agreement` (percent), `differences` (`top1`, `top5` in points,
          against the first run; null for that), `kept` (by pruning point), `cost`, `gflops`, `images`; see
          `ClassificationRun`.
        - `skipped`: each has `image` and `reason`.
        """
        bundles = {run.bundle for run in self.runs}
        return {
            "schema": REPORT_SCHEMA,
            "task": "classification",
            "bundle": self.runs[0].bundle if len(bundles) == 1 else None,
            "data": self.data,
            "data_hash": self.data_hash,
            "matched": self.matched,
            "runs": [asdict(run) | {"differences": self.differences(run)} for run in self.runs],
            "skipped": [{"image": image, "reason": reason} for image, reason in self.skipped],
        }

    def differences(self, run: ClassificationRun) -> dict[str, float | None] | None:
        """Of a run to the first one, in points of percent; None for the first one."""
        first = self.runs[0]
        if run is first:
            return None
        top5 = None if run.top5 is None or first.top5 is None else run.top5 - first.top5
        return {"top1": run.top1 - first.top1, "top5": top5}
