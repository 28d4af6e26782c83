"""What a parity check concludes from its measurements: problems, which fail it, and notes, which do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from vpp_deploy.parity.messages import exceeds, listed, mismatch, not_finite
from vpp_deploy.parity.tolerances import Tolerances
from vpp_deploy.tasks.segmentation.parity.frame import FrameDifference, FrameParity

Frames = Sequence[FrameParity]


def find_problems(frames: Frames, tolerances: Tolerances) -> list[str]:
    """Everything in which the engine misses the bar, one line each, frame by frame, then over all frames."""
    problems: list[str] = []
    for frame in frames:
        where = f"frame {frame.index}"
        problems += _broken(where, frame.teacher_forced, "teacher-forced")
        problems += _differences(where, frame.teacher_forced, tolerances)
        problems += _broken(where, frame.free_running, "free-running")
        problems += _track_problems(where, frame, tolerances)
    return [*problems, *_overall(frames, tolerances)]


def find_notes(frames: Frames) -> list[str]:
    """What a reader of the report should know, one line each."""
    return [note for frame in frames for note in _frame_notes(frame)]


def _broken(where: str, frame: FrameDifference, mode: str) -> Iterator[str]:
    """What is wrong whatever the other side says."""
    for name, tensor in frame.tensors.items():
        if tensor.non_finite:
            yield f"{where}, {name}: {not_finite(tensor.non_finite)} ({mode})"
        if tensor.reference_non_finite and mode == "teacher-forced":
            yield f"{where}, {name}: {not_finite(tensor.reference_non_finite)} in the PyTorch reference"
    for name, fault in frame.faults.items():
        yield f"{where}, {name}: {fault} ({mode})"


def _differences(where: str, frame: FrameDifference, tolerances: Tolerances) -> Iterator[str]:
    for name, selection in frame.selections.items():
        if selection.count("mismatch"):
            yield f"{where}, {name}: {mismatch('token', selection)} (teacher-forced)"
    if not frame.comparable:
        return
    for name, tensor in frame.tensors.items():
        if tensor.maximum > tolerances.difference:
            yield f"{where}, {name}: {exceeds(tensor, tolerances.difference)} (teacher-forced)"
    candidates = frame.candidates
    if candidates.missing:
        yield f"{where}, query_indices: {listed('query', candidates.missing)} on one side only (teacher-forced)"
    if candidates.miscounted:
        yield f"{where}, candidates: {candidates.engine}, not {candidates.reference} (teacher-forced)"


def _track_problems(where: str, frame: FrameParity, tolerances: Tolerances) -> Iterator[str]:
    """Each frame's tracks, if every frame's must agree."""
    tracks = frame.tracks
    if tolerances.track_agreement < 1.0:
        return
    if tracks.only_reference:
        yield f"{where}, tracks: {listed('identity', tracks.only_reference)} only in the reference (free-running)"
    if tracks.only_engine:
        yield f"{where}, tracks: {listed('identity', tracks.only_engine)} only in the engine (free-running)"
    if tracks.relabelled:
        yield f"{where}, tracks: {listed('identity', tracks.relabelled)} with another label (free-running)"


def _overall(frames: Frames, tolerances: Tolerances) -> Iterator[str]:
    for name, overlap in mean_overlaps(frames).items():
        if overlap < tolerances.overlap:
            yield f"{name}: mean kept-token overlap {overlap:.3%} < {tolerances.overlap:.3%} (free-running)"
    agreement = track_agreement(frames)
    if agreement < tolerances.track_agreement:
        yield f"tracks: the same in {agreement:.1%} of the frames < {tolerances.track_agreement:.1%} (free-running)"
    ious = [iou for frame in frames for iou in frame.tracks.mask_ious]
    if ious and fmean(ious) < tolerances.mask_iou:
        yield f"tracks: mean mask IoU {fmean(ious):.4f} < {tolerances.mask_iou:g} (free-running)"
    if not (tolerances.ties_everywhere or any(frame.teacher_forced.comparable for frame in frames)):
        yield f"kept tokens differ in each of the {len(frames)} frames: no tensor could be judged (teacher-forced)"


def mean_overlaps(frames: Frames) -> dict[str, float]:
    """Mean kept-token overlap by selection point, free-running, over the frames in which the point is active."""
    overlaps: dict[str, list[float]] = {}
    for frame in reversed(frames):  # the last frame has every point, in the order of the blocks
        for name, selection in frame.free_running.selections.items():
            overlaps.setdefault(name, []).append(selection.overlap)
    return {name: fmean(values) for name, values in overlaps.items()}


def track_agreement(frames: Frames) -> float:
    """Share of frames with the same tracks and labels, free-running, in [0, 1]."""
    return fmean(frame.tracks.identical for frame in frames)


def _frame_notes(frame: FrameParity) -> Iterator[str]:
    where, forced = f"frame {frame.index}", frame.teacher_forced
    for name, selection in forced.selections.items():
        ties = [token for token in selection.differing if token.kind == "tie"]
        if ties:
            gap = max(abs(token.gap or 0.0) for token in ties)
            tokens = listed("token", [token.position for token in ties])
            yield f"{where}, {name}: tie of {tokens} (within {gap:.1g} of the K-th score); later tensors not judged"
        if later := selection.count("consequence"):
            yield f"{where}, {name}: {later} differing tokens follow from an earlier selection point"
    for match in forced.match_ties:
        yield (
            f"{where}, map_selection: match tie of token {match.token} (the runner-up is {match.gap:.1g} behind); "
            "compared with that decision flipped"
        )
    for mask in forced.mask_ties:
        yield (
            f"{where}, layer {mask.layer}: attention mask tie of query {mask.query} at place {mask.place} "
            f"(mask logit {mask.logit:.1g}); compared with that decision flipped"
        )
    candidates = forced.candidates
    if alone := candidates.only_reference + candidates.only_engine:
        yield f"{where}: {listed('query', alone)} above the tracker's threshold on one side only"
    yield from _capacity(where, "queries did not fit max_detections", frame.candidates_dropped)
    yield from _capacity(where, "tracks did not fit max_tracks", frame.tracks_not_fed)


def _capacity(where: str, what: str, counts: tuple[int, int]) -> Iterator[str]:
    if any(counts):
        yield f"{where}: {counts[0]} {what} (engine: {counts[1]})"
