"""What `benchmark` and `evaluate` wrote with `--json`, as far as a report shows it. The files may be anyone's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import DatasetError
from vpp_deploy.files.names import is_called
from vpp_deploy.files.reading import read_json

METRICS: Final = {
    "ap_track": "AP_track",
    "map_segm": "mAP_segm",
    "map_bbox": "mAP_bbox",
    "top1": "top-1",
    "top5": "top-5",
}
"""Of an evaluation; the first one that all runs have is drawn."""
_MOST_BYTES: Final = 200_000_000


class Part(BaseModel):
    """Base of what is read: what is not shown is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


Seconds = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100, strict=True)]


class Times(Part):
    """Seconds of many calls."""

    median: Seconds
    p90: Seconds
    minimum: Seconds


class Ratio(Part):
    """A candidate's time over that of the first one, with its interval (95 %)."""

    value: Seconds
    low: Seconds
    high: Seconds


class Candidate(Part):
    """One engine or peer of a benchmark; see `vpp_deploy.benchmark.report.CandidateReport`."""

    bundle: str
    engine: str
    unit: str
    items: Count
    latency: Times
    parts: dict[str, Times]
    ratio: Ratio | None = None
    rate: Annotated[float, Field(ge=0, le=1e12)]
    bundle_hash: str | None = None


class Benchmark(Part):
    """What `benchmark --json` wrote; see `vpp_deploy.benchmark.report.BenchmarkReport`."""

    machine: dict[str, Any]
    source: str
    rounds: Count
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=100)]

    @property
    def measured(self) -> Sequence[Candidate]:
        """What was timed."""
        return self.candidates

    @property
    def bundles(self) -> list[str]:
        """Names of what was timed."""
        return list(dict.fromkeys(one.bundle for one in self.candidates))


class Run(Part):
    """One engine on a data set; see `EvaluationRun` and `ClassificationRun`."""

    bundle: str | None = None
    bundle_hash: str | None = None
    engine: str
    mode: str | None = None
    keep: str | None = None
    kept_by_blocks: Share | None = None
    ap_track: Percent | None = None
    map_bbox: Percent | None = None
    map_segm: Percent | None = None
    top1: Percent | None = None
    top5: Percent | None = None
    cost: Share | None = None
    videos: Count | None = None
    frames: Count | None = None
    images: Count | None = None

    @property
    def scored(self) -> str:
        """On how much."""
        counts = ((self.images, "images"), (self.videos, "videos"), (self.frames, "frames"))
        return ", ".join(f"{count} {what}" for count, what in counts if count is not None)


_ALWAYS: Final = {"segmentation": "ap_track", "classification": "top1"}
"""What every run of an evaluation of a task has; of instances it is null where there is no object."""


class Evaluation(Part):
    """What `evaluate --json` wrote; see `EvaluationReport` and `ClassificationEvaluation`."""

    version: Annotated[Literal[1], Field(alias="schema")]
    task: Literal["segmentation", "classification"] = "segmentation"
    bundle: str | None
    data: str
    data_hash: str | None = None
    annotations: str | None = None
    runs: Annotated[list[Run], Field(min_length=1, max_length=100)]

    @property
    def measured(self) -> Sequence[Run]:
        """What was scored."""
        return self.runs

    @property
    def bundles(self) -> list[str]:
        """Names of what was scored."""
        return list(dict.fromkeys(run.bundle for run in self.runs if run.bundle is not None))

    @model_validator(mode="before")
    @classmethod
    def _named(cls, content: Any) -> Any:
        """Runs of earlier versions do not name their bundle."""
        if isinstance(content, dict) and isinstance(runs := content.get("runs"), list):
            name = {"bundle": content.get("bundle")}
            content = content | {"runs": [name | run if isinstance(run, dict) else run for run in runs]}
        return content

    def is_on_data_of(self, other: Evaluation) -> bool:
        """Whether both were scored on the same files; by what they are called where an earlier version wrote one."""
        if self.data_hash and other.data_hash:
            return self.data_hash == other.data_hash
        return self._data == other._data

    @property
    def _data(self) -> tuple[str, ...]:
        return self.task, PurePath(self.data).name, PurePath(self.annotations or "").name, self.runs[0].scored

    @model_validator(mode="after")
    def _scored(self) -> Self:
        metric = _ALWAYS[self.task]
        for run in self.runs:
            if metric not in run.model_fields_set or (self.task == "classification" and run.top1 is None):
                raise ValueError(f"a run without {metric}")
        return self


def is_of(measured: Candidate | Run, bundle: Bundle) -> bool:
    """Whether a bundle is what was measured; by its name where an earlier version wrote the file."""
    if measured.bundle_hash is not None:
        return measured.bundle_hash == bundle.manifest.bundle_hash
    places = (bundle.path, bundle.path.resolve())  # it may be given by a link
    return any(is_called(place, measured.bundle or "") for place in places)


Kind = TypeVar("Kind", bound=Part)


def read_measurement(path: Path, kind: type[Kind], command: str) -> Kind:
    """Read a file that a command wrote.

    Args:
        path: the file.
        kind: what it is.
        command: what writes it, for the message.

    Raises:
        DatasetError: it cannot be read, or is something else.
    """
    content = read_json(path, DatasetError, what=f"result of {command}", limit=_MOST_BYTES)
    return from_content(content, kind, command, str(path))


def from_content(content: Any, kind: type[Kind], command: str, where: str) -> Kind:
    """What a command gave, checked.

    Raises:
        DatasetError: it is something else.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise DatasetError(
            f"{where} is not what `{command} --json` writes ({field:.80}: {first['msg']:.80}); give such a file"
        ) from error
