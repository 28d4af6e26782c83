"""The outcome of a parity check of plain tensors, for a program, for the bundle and for an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from vpp_deploy.parity.latency import Latency
from vpp_deploy.parity.messages import not_finite
from vpp_deploy.parity.report_common import Verdict, json_ready, now, versions
from vpp_deploy.parity.summary import WorstDifference, worst_of
from vpp_deploy.parity.tensors import TensorDifference
from vpp_deploy.parity.tolerances import TensorTolerances


@dataclass(frozen=True, slots=True)
class FrameDifference:
    """Two sides on one frame.

    Attributes:
        tensors: float outputs and state tensors, by name.
        scales: what a tolerance is multiplied with: the largest absolute value of the reference's tensor, at least 1.
        unequal: of every other tensor, how many values differ.
    """

    tensors: Mapping[str, TensorDifference]
    scales: Mapping[str, float]
    unequal: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FrameParity:
    """One frame of a parity check.

    Attributes:
        index: position of the frame, from 0.
        role: the graph that ran.
        teacher_forced: the engine with the reference's state.
        free_running: the engine with its own state; None for a model without one.
    """

    index: int
    role: str
    teacher_forced: FrameDifference
    free_running: FrameDifference | None


@dataclass(frozen=True)
class TensorParity(Verdict):
    """What a parity check measured, and whether the engine meets the bar.

    Judged is what is teacher-forced; values that are not floats must be equal there. Free-running shows the drift.

    Attributes:
        backend: the engine's backend.
        precision: the engine's precision.
        source: name of the source's file; None for inputs from memory.
        frames: the frames that were compared, in order; at least one.
        requested_frames: how many were asked for; None for all.
        tolerances: the bar.
        latency: how long both sides took a frame.
        created: UTC time of the check, ISO 8601.
    """

    backend: str
    precision: str
    source: str | None
    frames: tuple[FrameParity, ...]
    requested_frames: int | None
    tolerances: TensorTolerances
    latency: Latency | None = None
    created: str = field(default_factory=now)

    @cached_property
    def problems(self) -> list[str]:
        """What the engine misses the bar in, one line each; empty if it passed."""
        return [problem for frame in self.frames for problem in self._problems(frame)]

    @cached_property
    def notes(self) -> list[str]:
        """What limits the check's meaning without failing it, one line each."""
        notes = []
        if self.requested_frames is not None and len(self.frames) < self.requested_frames:
            notes.append(f"the source has {len(self.frames)} of the {self.requested_frames} frames asked for")
        if drifting := [frame.index for frame in self.frames if self._drifts(frame)]:
            notes.append(f"free-running, the engine drifts beyond the tolerance from frame {drifting[0]} on")
        return notes

    def worst(self, mode: str) -> dict[str, WorstDifference]:
        """Each float tensor's differences over the frames, by name.

        Args:
            mode: `teacher_forced` or `free_running`.
        """
        frames = [(frame.index, difference) for frame in self.frames if (difference := getattr(frame, mode))]
        names = frames[0][1].tensors if frames else {}
        return {name: worst_of((index, frame.tensors[name], True) for index, frame in frames) for name in names}

    def unequal(self, mode: str) -> dict[str, int]:
        """Of every tensor that is not of floats, how many values differ in all frames."""
        frames = [difference for frame in self.frames if (difference := getattr(frame, mode))]
        return {name: sum(frame.unequal[name] for frame in frames) for name in (frames[0].unequal if frames else {})}

    def summary(self) -> dict[str, Any]:
        """The report without its single frames, ready for JSON."""
        modes = ("teacher_forced", "free_running")
        return json_ready(
            {
                "created": self.created,
                "backend": self.backend,
                "precision": self.precision,
                "versions": versions(self.backend),
                "source": self.source,
                "frames": len(self.frames),
                "passed": self.passed,
                "problems": list(self.problems),
                "notes": list(self.notes),
                "latency": self.latency and asdict(self.latency),
                "tolerances": asdict(self.tolerances),
                "tensors": {mode: {name: asdict(worst) for name, worst in self.worst(mode).items()} for mode in modes},
                "unequal": {mode: self.unequal(mode) for mode in modes},
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON."""
        return self.summary() | {"per_frame": [json_ready(asdict(frame)) for frame in self.frames]}

    def _problems(self, frame: FrameParity) -> Iterator[str]:
        where, difference = f"frame {frame.index}", frame.teacher_forced
        for name, tensor in difference.tensors.items():
            if tensor.non_finite:
                yield f"{where}, {name}: {not_finite(tensor.non_finite)}"
            if tensor.reference_non_finite:
                yield f"{where}, {name}: {not_finite(tensor.reference_non_finite)} in the PyTorch reference"
            bar = self.tolerances.difference * difference.scales[name]
            if tensor.maximum > bar:
                yield f"{where}, {name}: max |difference| {tensor.maximum:.2g} > {bar:.2g}"
        for name, count in difference.unequal.items():
            if count:
                yield f"{where}, {name}: {count} values differ, and they are not floats"

    def _drifts(self, frame: FrameParity) -> bool:
        free = frame.free_running
        return free is not None and (
            any(free.unequal.values())
            or any(
                tensor.non_finite or tensor.maximum > self.tolerances.difference * free.scales[name]
                for name, tensor in free.tensors.items()
            )
        )
