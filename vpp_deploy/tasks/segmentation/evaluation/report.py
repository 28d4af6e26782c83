"""The outcome of an evaluation, for a program and for a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from vpp_deploy.tasks.segmentation.evaluation.dataset import Skipped
from vpp_deploy.tasks.segmentation.evaluation.metrics import Scores, differences

REPORT_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class EvaluationRun:
    """One engine on a data set, or one file of predictions.

    Attributes:
        bundle: name of the bundle's folder; None for a file of predictions.
        engine: `torch`, a backend, or the name of the file.
        mode: how tokens were selected, `topk` or `threshold`; None for a file.
        keep: the bundle's keep schedule; None for a file.
        scores: average precisions.
        kept: share of all tokens kept at each selection point, by name, in [0, 1], mean over the frames that have the
            point; None for a file.
        kept_by_blocks: share of all tokens that a transformer block ran on, in [0, 1], mean over blocks and frames;
            None for a file.
        objects_kept: share of the patches that annotated objects cover by half or more that were kept at each selection
            point, by name, in [0, 1]; by chance it would be `kept`. None for a file.
        videos: how many were scored.
        frames: how many were scored.
        bundle_hash: see `Manifest.bundle_hash`; None for a file.
    """

    bundle: str | None
    engine: str
    mode: str | None
    keep: str | None
    scores: Scores
    kept: Mapping[str, float] | None
    kept_by_blocks: float | None
    objects_kept: Mapping[str, float] | None
    videos: int
    frames: int
    bundle_hash: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the scores are fields like the others."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "scores"}
        return own | asdict(self.scores)


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What an evaluation measured. All runs are scored on the same videos.

    Attributes:
        bundle: name of the bundle's folder; None of several, and where only a file of predictions was scored.
        data: the data set's folder.
        annotations: its annotation file.
        runs: bundle by bundle, in the order asked for.
        skipped: videos with a fault, which no run was scored on.
        data_hash: equal if the same videos were scored against the same annotations.
    """

    bundle: str | None
    data: str
    annotations: str
    runs: tuple[EvaluationRun, ...]
    skipped: tuple[Skipped, ...]
    data_hash: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report, ready for JSON.

        - `schema` (1), `bundle` (name or null), `data`, `annotations` (paths), `data_hash`.
        - `runs`: each has `bundle` (name or null), `bundle_hash` (or null), `engine`, `mode`, `keep`, `ap_track`,
          `ap_track_50`, `ap_track_75`, `map_bbox`, `map_segm`, `ap_track_by_class`, `map_bbox_by_class`,
          `map_segm_by_class` (by name; all in percent, null without any object), `differences` (of `ap_track`,
          `map_bbox`, `map_segm`, in points, against the first run; null for that), `kept` (by selection point),
          `kept_by_blocks` (in [0, 1]), `objects_kept` (by selection point), `videos`, `frames`; see `EvaluationRun` and
          `Scores`.
        - `skipped`: each has `video` and `reason`.
        """
        return {
            "schema": REPORT_SCHEMA,
            "bundle": self.bundle,
            "data": self.data,
            "annotations": self.annotations,
            "data_hash": self.data_hash,
            "runs": [run.to_dict() | {"differences": self.differences(run)} for run in self.runs],
            "skipped": [asdict(video) for video in self.skipped],
        }

    def differences(self, run: EvaluationRun) -> dict[str, float | None] | None:
        """Of a run to the first one, in points of percent, by metric; None for the first one."""
        first = self.runs[0]
        return None if run is first else differences(first.scores, run.scores)
