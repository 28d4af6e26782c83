"""The outcome of a parity check, for a program, for the bundle and for an exit code."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from vpp_deploy.parity.latency import Latency
from vpp_deploy.parity.report_common import Verdict, json_ready, now, versions
from vpp_deploy.parity.summary import WorstDifference, worst_of
from vpp_deploy.parity.tolerances import Tolerances
from vpp_deploy.tasks.segmentation.parity.accuracy import TaskParity, task_notes, task_problems
from vpp_deploy.tasks.segmentation.parity.frame import FrameDifference, FrameParity
from vpp_deploy.tasks.segmentation.parity.verdict import find_notes, find_problems, mean_overlaps, track_agreement

MODES = ("teacher_forced", "free_running")


@dataclass(frozen=True)
class ParityReport(Verdict):
    """What a parity check measured, and whether the engine meets the bar.

    Attributes:
        backend: the engine's backend.
        precision: the engine's precision.
        video: the video's file name; None for frames from memory.
        frames: the frames that were compared, in order; at least one.
        requested_frames: how many were asked for; None for all.
        video_problem: damage found in the video, or None.
        tolerances: the bar.
        task: the accuracy of both sides on a data set; None if it was not compared.
        latency: how long both sides took.
        created: UTC time of the check, ISO 8601.
    """

    backend: str
    precision: str
    video: str | None
    frames: tuple[FrameParity, ...]
    requested_frames: int | None
    video_problem: str | None
    tolerances: Tolerances
    task: TaskParity | None = None
    latency: Latency | None = None
    created: str = field(default_factory=now)

    @cached_property
    def problems(self) -> list[str]:
        """What the engine misses the bar in, one line each; empty if it passed."""
        task = task_problems(self.task, self.tolerances) if self.task else ()
        return [*find_problems(self.frames, self.tolerances), *task]

    @cached_property
    def notes(self) -> list[str]:
        """What limits the check's meaning without failing it, one line each: ties, a short video, full capacities."""
        notes = find_notes(self.frames)
        if self.requested_frames is not None and len(self.frames) < self.requested_frames:
            notes.append(f"the video has {len(self.frames)} of the {self.requested_frames} frames asked for")
        if self.video_problem:
            notes.append(f"video: {self.video_problem}")
        if skipped := len(self.frames) - self.comparable_frames:
            notes.append(f"tensors were not judged in {skipped} of {len(self.frames)} frames, where kept tokens differ")
        if self.task:
            notes += task_notes(self.task)
        return notes

    @property
    def comparable_frames(self) -> int:
        """Frames in which both sides kept the same tokens, teacher-forced: those whose tensors are judged."""
        return sum(frame.teacher_forced.comparable for frame in self.frames)

    def worst(self, mode: str) -> dict[str, WorstDifference]:
        """Each tensor's differences over the frames, by name.

        Args:
            mode: `teacher_forced`, which counts the frames whose tensors are judged, or `free_running`, all frames.
        """
        rows = [(frame.index, _mode(frame, mode)) for frame in self.frames]
        names = list(dict.fromkeys(name for _, row in rows for name in row.tensors))
        return {name: _worst(name, rows, only_comparable=mode == "teacher_forced") for name in names}

    def overlaps(self) -> dict[str, dict[str, float]]:
        """Mean and minimum kept-token overlap by selection point, free-running."""
        return {
            name: {"mean": mean, "minimum": min(_overlaps(name, self.frames))}
            for name, mean in mean_overlaps(self.frames).items()
        }

    def tracks(self) -> dict[str, Any]:
        """Agreement of the tracks, free-running; see `to_dict`."""
        ious = [iou for frame in self.frames for iou in frame.tracks.mask_ious]
        return {
            "agreement": track_agreement(self.frames),
            "tracked_objects": sum(frame.tracks.tracks for frame in self.frames),
            "mean_mask_iou": math.fsum(ious) / len(ious) if ious else None,
            "minimum_mask_iou": min(ious, default=None),
            "maximum_score_difference": max(frame.tracks.score_difference for frame in self.frames),
        }

    def summary(self) -> dict[str, Any]:
        """What the bundle keeps: the head of `to_dict`, without the single frames."""
        return json_ready(
            {
                "passed": self.passed,
                "backend": self.backend,
                "precision": self.precision,
                "created": self.created,
                "video": self.video,
                "frames": len(self.frames),
                "frames_judged_by_tensor": self.comparable_frames,
                "tensors": {mode: {k: asdict(v) for k, v in self.worst(mode).items()} for mode in MODES},
                "ties": self._count("tie"),
                "match_ties": sum(len(frame.teacher_forced.match_ties) for frame in self.frames),
                "mask_ties": sum(len(frame.teacher_forced.mask_ties) for frame in self.frames),
                "mismatches": self._count("mismatch"),
                "overlaps": self.overlaps(),
                "tracks": self.tracks(),
                "task": self.task and self.task.to_dict(),
                "latency": self.latency and asdict(self.latency),
                "tolerances": asdict(self.tolerances),
                "versions": versions(self.backend),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON: numbers that are not finite and those that do not exist are null.

        - `passed`, `backend`, `precision`, `created` (ISO 8601), `video` (name or null), `frames` (number compared),
          `frames_judged_by_tensor` (those in which the kept tokens are the same).
        - `tensors`: `teacher_forced` (judged frames) and `free_running` (all frames), each by tensor: `maximum`
          absolute difference, its `frame`, `mean`, smallest `cosine`, `non_finite` values.
        - `ties`, `mismatches`: tokens over all frames, teacher-forced. `match_ties`, `mask_ties`: decisions
          inside the network that were ties, teacher-forced.
        - `overlaps`: by selection point, `mean` and `minimum` share of kept tokens in common, free-running.
        - `tracks`: `agreement` (share of frames), `tracked_objects`, `mean_mask_iou`, `minimum_mask_iou`,
          `maximum_score_difference`, free-running.
        - `task`: null, or `data` (folder), `videos`, `frames`, `reference` and `engine` (see `Scores`), and
          `differences` in points of percent (`ap_track`, `map_bbox`, `map_segm`).
        - `latency`: null, or `reference` and `engine` (median seconds of a frame), `speed_up`, `calls`; see `Latency`.
        - `tolerances`: see `Tolerances`. `versions`: by package.
        - `problems`, `notes`: lines for a human.
        - `per_frame`: a list; each has `index`, `phase`, `tracks` (see `TrackDifference`), `candidates_dropped` and
          `tracks_not_fed` ([reference, engine]), and `teacher_forced` and `free_running` with `comparable`, `tensors`
          (see `TensorDifference`), `selections` (see `SelectionDifference`, with `overlap`; the `differing` tokens
          only teacher-forced), `candidates` (see `CandidateDifference`), `faults`, `match_ties` and
          `mask_ties` (see `MatchTie`, `MaskTie`).
        """
        frames = [_frame_dict(frame) for frame in self.frames]
        details = {"problems": self.problems, "notes": self.notes, "per_frame": frames}
        return self.summary() | json_ready(details)

    def _count(self, kind: Any) -> int:
        selections = (s for frame in self.frames for s in frame.teacher_forced.selections.values())
        return sum(selection.count(kind) for selection in selections)


def _mode(frame: FrameParity, mode: str) -> FrameDifference:
    return frame.teacher_forced if mode == "teacher_forced" else frame.free_running


def _worst(name: str, rows: Iterable[tuple[int, FrameDifference]], only_comparable: bool) -> WorstDifference:
    return worst_of(
        (index, row.tensors[name], row.comparable or not only_comparable) for index, row in rows if name in row.tensors
    )


def _overlaps(name: str, frames: Iterable[FrameParity]) -> list[float]:
    selections = (frame.free_running.selections for frame in frames)
    return [by_point[name].overlap for by_point in selections if name in by_point]


def _frame_dict(frame: FrameParity) -> dict[str, Any]:
    fields = asdict(frame)
    for mode in MODES:
        difference = _mode(frame, mode)
        fields[mode]["comparable"] = difference.comparable
        for name, selection in difference.selections.items():
            fields[mode]["selections"][name]["overlap"] = selection.overlap
            if mode == "free_running":
                del fields[mode]["selections"][name]["differing"]
    fields["tracks"]["identical"] = frame.tracks.identical
    return fields
