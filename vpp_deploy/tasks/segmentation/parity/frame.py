"""Everything that parity compares on one frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.selection import SelectionDifference, compare_selections, position_fault
from vpp_deploy.parity.tensors import Rows, TensorDifference, align_rows, compare_tensors
from vpp_deploy.parity.tolerances import Tolerances
from vpp_deploy.tasks.segmentation.parity.candidates import CandidateDifference, compare_candidates
from vpp_deploy.tasks.segmentation.parity.decisions import COMPARED, Explainer, MaskTie, MatchTie
from vpp_deploy.tasks.segmentation.parity.tracks import TrackDifference

POSITIONS = "positions"
"""The state tensor with the token position of each row of the other ones; compared like a selection point."""
Scores = Callable[[], Mapping[str, Array]]
"""Gives the reference's scores `[N]` of each selection point on the frame at hand."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one side did on one frame.

    Attributes:
        inputs: what went into the graph, state excluded.
        outputs: what came out, state excluded.
        state: the state tensors after the frame, by their manifest name.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    state: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class FrameDifference:
    """Two sides on one frame.

    Attributes:
        tensors: float outputs and state tensors, by name. Candidate outputs are compared on the queries that matter,
            aligned by query index; state tensors on the tokens that both have, aligned by position.
        selections: kept tokens by selection point, in the order of the blocks, then the state's positions.
        candidates: which queries matter.
        faults: integer outputs of the engine that cannot be right, by name, and why.
        match_ties: tokens that the engine matched with the runner-up. Everything is then compared with the reference
            under those decisions (teacher-forced only).
        mask_ties: decisions of the attention masks that the engine took the other way. The candidate outputs are then
            compared with the reference's under those decisions (teacher-forced only).
    """

    tensors: Mapping[str, TensorDifference]
    selections: Mapping[str, SelectionDifference]
    candidates: CandidateDifference
    faults: Mapping[str, str]
    match_ties: tuple[MatchTie, ...] = ()
    mask_ties: tuple[MaskTie, ...] = ()

    @property
    def comparable(self) -> bool:
        """Both sides kept the same tokens, so that their tensors should differ by rounding only."""
        return not any(selection.differing for selection in self.selections.values())


@dataclass(frozen=True, slots=True)
class FrameParity:
    """One frame of a parity check.

    Attributes:
        index: position of the frame in the stream, from 0.
        phase: the graph that ran.
        teacher_forced: the engine with the reference's inputs and state.
        free_running: the engine with its own track queries and state.
        tracks: the tracked objects, free-running.
        candidates_dropped: for reference and engine, queries that did not fit the bundle's `max_detections`.
        tracks_not_fed: for reference and engine, tracks that did not fit the bundle's `max_tracks`.
    """

    index: int
    phase: GraphRole
    teacher_forced: FrameDifference
    free_running: FrameDifference
    tracks: TrackDifference
    candidates_dropped: tuple[int, int]
    tracks_not_fed: tuple[int, int]


def compare_frame(
    manifest: SegmentationManifest,
    reference: Step,
    engine: Step,
    tolerances: Tolerances,
    scores: Scores = dict,
    explainer: Explainer | None = None,
) -> FrameDifference:
    """Compare what two sides made of one frame.

    Args:
        manifest: of the bundle that both run.
        reference: the reference's side.
        engine: the engine's side.
        tolerances: tie margin, and the difference that candidates may have.
        scores: called only if the kept tokens differ; without scores no difference is a tie.
        explainer: asked only if the kept tokens differ or a candidate output is out of tolerance.
    """
    match_ties: tuple[MatchTie, ...] = ()
    ours, theirs = _kept(manifest, reference), _kept(manifest, engine)
    same = _equal(ours, theirs)
    if explainer and not same and (matched := explainer.by_match_ties(engine.outputs)):
        match_ties, flipped = matched
        reference = Step(reference.inputs, flipped.outputs, flipped.state)
        ours = _kept(manifest, reference)
        same = _equal(ours, theirs)
    candidates, rows = compare_candidates(
        manifest,
        reference.outputs,
        engine.outputs,
        (reference.inputs["track_valid"], engine.inputs["track_valid"]),
        tolerances.difference,
    )
    tensors = _compare_outputs(reference.outputs, engine.outputs, rows)
    mask_ties: tuple[MaskTie, ...] = ()
    if explainer and same and any(tensors[name].maximum > tolerances.difference for name in COMPARED):
        masked = explainer.by_mask_ties(reference.outputs, engine.outputs, rows, tolerances.difference, match_ties)
        if masked:
            mask_ties, tensors = masked[0], _compare_outputs(masked[1].outputs, engine.outputs, rows)
    return FrameDifference(
        tensors=tensors | _compare_state(reference.state, engine.state),
        selections=compare_selections(ours, theirs, {} if same else scores(), tolerances.tie_margin),
        candidates=candidates,
        faults=_faults(manifest, theirs, engine.outputs["query_indices"]),
        match_ties=match_ties,
        mask_ties=mask_ties,
    )


def _kept(manifest: SegmentationManifest, step: Step) -> dict[str, Array]:
    """Kept positions by selection point, and those of the state."""
    points = {point.name: point.output for point in manifest.pruning_points if point.output in step.outputs}
    kept = {name: step.outputs[output] for name, output in points.items()}
    return kept | {name: array for name, array in step.state.items() if name == POSITIONS}


def _equal(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> bool:
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)


def _compare_outputs(
    reference: Mapping[str, Array], engine: Mapping[str, Array], rows: Rows
) -> dict[str, TensorDifference]:
    floats = [name for name, array in reference.items() if np.issubdtype(array.dtype, np.floating)]
    return {name: compare_tensors(reference[name], engine[name], rows) for name in floats}


def _compare_state(reference: Mapping[str, Array], engine: Mapping[str, Array]) -> dict[str, TensorDifference]:
    if POSITIONS not in reference:
        return {}
    rows = align_rows(reference[POSITIONS], engine[POSITIONS])
    names = [name for name in reference if name != POSITIONS]
    return {name: compare_tensors(reference[name], engine[name], rows) for name in names}


def _faults(manifest: SegmentationManifest, kept: Mapping[str, Array], query_indices: Array) -> dict[str, str]:
    detection = manifest.detection
    tokens = manifest.token_grid[0] * manifest.token_grid[1]
    found = {name: position_fault(positions, tokens) for name, positions in kept.items()}
    found["query_indices"] = position_fault(query_indices, detection.num_queries + detection.max_tracks)
    return {name: fault for name, fault in found.items() if fault}
