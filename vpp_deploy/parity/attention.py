"""Ties in the decoder's attention masks: proving that a difference is one rounding decision, not an error.

Mask2Former blocks a place for a query where the mask logit of the layer before is negative. Among the millions of such
decisions of a frame some logits are 0 up to rounding, and an engine may decide them the other way; the query then moves
by more than rounding. Such a difference is excused only if it is reproduced: the reference, run again with that very
decision turned, must equal the engine within the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from vpp_deploy.engine import Array, StreamState
from vpp_deploy.parity.tensors import Rows

COMPARED: Final = ("class_logits", "mask_logits", "query_features")
MAX_RERUNS: Final = 12
"""Reference runs spent on one frame; a step of the reference each."""


@dataclass(frozen=True, slots=True)
class MaskTie:
    """A decision of an attention mask that the engine took the other way.

    Attributes:
        layer: decoder layer, from 0.
        query: query index; track slots follow the learned queries.
        place: row-major on the layer's map.
        logit: the reference's mask logit there.
    """

    layer: int
    query: int
    place: int
    logit: float


Explanation = tuple[tuple[MaskTie, ...], Mapping[str, Array]]
"""The ties, and the reference's outputs with these decisions turned."""


@runtime_checkable
class DecidesMasks(Protocol):
    """A reference whose attention masks can be looked at and turned; see `TorchEngine`."""

    def mask_decisions(
        self, inputs: Mapping[str, Array], state: StreamState, margin: float
    ) -> Sequence[tuple[int, int, int, float]]:
        """Decisions (layer, query, place, logit) within `margin` of 0."""
        ...

    def run_with_flipped_masks(
        self, inputs: Mapping[str, Array], state: StreamState, flips: Sequence[tuple[int, int, int]]
    ) -> Mapping[str, Array]:
        """The frame's outputs with some decisions (layer, query, place) turned."""
        ...


def explain_by_mask_ties(
    decisions: Sequence[tuple[int, int, int, float]],
    run_flipped: Callable[[Sequence[tuple[int, int, int]]], Mapping[str, Array]],
    reference: Mapping[str, Array],
    engine: Mapping[str, Array],
    rows: Rows,
    tolerance: float,
) -> Explanation | None:
    """Find decisions that, turned in the reference, make it equal to the engine.

    Decisions of the queries that differ are tried in order of their distance from 0; one is kept if it brings the
    reference closer to the engine.

    Args:
        decisions: (layer, query, place, logit) that rounding could turn.
        run_flipped: the reference's outputs with decisions turned.
        reference: the reference's outputs as they were.
        engine: the engine's outputs.
        rows: rows of the candidate outputs that correspond.
        tolerance: largest absolute difference allowed.

    Returns:
        The ties and the reference's outputs with them; None if no such decisions were found.
    """
    moved = _differences(reference, engine, rows)
    differing = {int(reference["query_indices"][rows[0][row]]) for row in np.flatnonzero(moved > tolerance)}
    candidates = sorted((item for item in decisions if item[1] in differing), key=lambda item: abs(item[3]))
    ties: list[MaskTie] = []
    outputs, worst = reference, float(moved.max(initial=0.0))
    for layer, query, place, logit in candidates[:MAX_RERUNS]:
        attempt = [*((tie.layer, tie.query, tie.place) for tie in ties), (layer, query, place)]
        turned = run_flipped(attempt)
        if not np.array_equal(turned["query_indices"], reference["query_indices"]):
            continue
        remaining = _differences(turned, engine, rows)
        if remaining.sum() < moved.sum():
            ties.append(MaskTie(layer, query, place, logit))
            outputs, moved, worst = turned, remaining, float(remaining.max(initial=0.0))
        if worst <= tolerance:
            return tuple(ties), outputs
    return None


def _differences(reference: Mapping[str, Array], engine: Mapping[str, Array], rows: Rows) -> Array:
    """Largest absolute difference `[n]` of each corresponding row, over the candidate outputs."""
    worst = np.zeros(len(rows[0]))
    for name in COMPARED:
        difference = np.abs(reference[name][rows[0]].astype(np.float64) - engine[name][rows[1]])
        worst = np.maximum(worst, difference.reshape(len(worst), -1).max(axis=1, initial=0.0))
    return worst
