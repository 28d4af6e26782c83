"""A parity check of any task, in the one form that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from vpp_deploy.report.measurements import Count, Part, Seconds, Share

MODES: Final = {"teacher_forced": "teacher-forced", "free_running": "free-running"}
_MOST: Final = 1e100
Size = Annotated[float, Field(ge=0, le=_MOST)]
"""Of a difference."""
Points = list[tuple[int, float]]
"""Index of a frame or sample, and a value."""


class Tensor(Part):
    """How far a tensor is from the reference, in one frame or in the worst of all."""

    maximum: Size | None = None
    mean: Size | None = None
    cosine: Annotated[float, Field(ge=-1.1, le=1.1)] | None = None
    frame: Count | None = None


class Selection(Part):
    """Kept tokens of both sides at one point; share in common, in [0, 1]."""

    overlap: Share = 1.0


class Patches(Part):
    """Kept patches of both sides at one point."""

    selection: Selection = Selection()


class Difference(Part):
    """Both sides in one frame, or in one sample."""

    tensors: dict[str, Tensor] = Field(default_factory=dict)
    selections: dict[str, Selection] = Field(default_factory=dict)
    patches: dict[str, Patches] = Field(default_factory=dict)

    @property
    def overlaps(self) -> dict[str, float]:
        """Share of kept tokens in common, by point."""
        found = self.selections | {name: patch.selection for name, patch in self.patches.items()}
        return {name: selection.overlap for name, selection in found.items()}


class Row(Part):
    """One frame. Of a classifier one sample, whose one difference counts as teacher-forced: there is no state."""

    index: Count
    teacher_forced: Difference | None = None
    free_running: Difference | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_sample(cls, content: Any) -> Any:
        if isinstance(content, dict) and isinstance(indices := content.get("indices"), list | tuple) and indices:
            return {"index": indices[0], "teacher_forced": content}
        return content

    def difference(self, mode: str) -> Difference | None:
        """By mode."""
        found: Difference | None = getattr(self, mode)
        return found


class Latency(Part):
    """Of a call, in seconds; see `vpp_deploy.parity.latency.Latency`."""

    reference: Seconds
    engine: Seconds
    speed_up: Annotated[float, Field(ge=0, le=1e12)]
    calls: Count


class Parity(Part):
    """What `parity --json` wrote, of any task."""

    passed: bool
    backend: str
    precision: str
    latency: Latency | None = None
    created: str
    source: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    problems: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    tolerances: dict[str, Any] = Field(default_factory=dict)
    tensors: dict[str, dict[str, Tensor]]
    rows: list[Row] = Field(default_factory=list, max_length=1_000_000)
    agreement: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_any_task(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        content = dict(content)
        tensors = content.get("tensors")
        if isinstance(tensors, dict) and not tensors.keys() & MODES.keys():
            content["tensors"] = {"teacher_forced": tensors}
        content["source"] = content.get("source") or content.get("video")
        content["rows"] = content.get("per_frame") or content.get("per_sample") or []
        for key, name in (("tracks", "agreement"), ("labels", "top1_agreement")):
            if isinstance(content.get(key), dict):
                content["agreement"] = content[key].get(name)
        return content

    @property
    def tolerance(self) -> float | None:
        """The largest difference that passes, where it is one number."""
        value = self.tolerances.get("difference", self.tolerances.get("logits"))
        return float(value) if isinstance(value, int | float) and 0 < value < _MOST else None

    def differences(self, mode: str) -> dict[str, Points]:
        """Each tensor's largest absolute difference in every frame that has one."""
        found: dict[str, Points] = {}
        for index, difference in self._rows(mode):
            for name, tensor in difference.tensors.items():
                if tensor.maximum is not None:
                    found.setdefault(name, []).append((index, tensor.maximum))
        return found

    def overlaps(self) -> dict[str, Points]:
        """Share of kept tokens in common, by point and frame; free-running where there is a state."""
        found: dict[str, Points] = {}
        for index, difference in list(self._rows("free_running")) or self._rows("teacher_forced"):
            for name, overlap in difference.overlaps.items():
                found.setdefault(name, []).append((index, overlap))
        return found

    def _rows(self, mode: str) -> Iterator[tuple[int, Difference]]:
        return ((row.index, found) for row in self.rows if (found := row.difference(mode)) is not None)
