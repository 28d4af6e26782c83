"""Ties in yes-or-no decisions inside the network: proving that a difference is rounding, not an error.

Two kinds of decision are taken a million times a frame: which token of the previous frame a token matches (the best
similarity wins), and what a query may attend to (a mask logit's sign). Some are ties up to rounding, and an engine may
decide them the other way; what follows then moves by more than rounding. Such a difference is excused only if it is
reproduced: the reference, run again with those very decisions flipped, must equal the engine within the tolerance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final, Protocol, runtime_checkable

import numpy as np

from vpp_deploy.engines.protocols import Array, StreamState
from vpp_deploy.parity.tensors import Rows

COMPARED: Final = ("class_logits", "mask_logits", "query_features")
MAX_RERUNS: Final = 12
"""Reference runs spent on a frame for each kind of tie; a step of the reference each."""


@dataclass(frozen=True, slots=True)
class MatchTie:
    """A token whose best match in the previous frame is a tie, and which the engine matched with the runner-up.

    Attributes:
        token: position of the current token, row-major on the token grid.
        row: the runner-up, a row of the state.
        gap: how far its similarity is behind the best one's.
    """

    token: int
    row: int
    gap: float


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


class Rerun(Protocol):
    """A frame of the reference run once more; see `vpp_deploy.families.vpp.reference.Rerun`."""

    @property
    def outputs(self) -> Mapping[str, Array]:
        """Outputs of the graph, state excluded."""
        ...

    @property
    def state(self) -> Mapping[str, Array]:
        """State tensors after the frame."""
        ...

    @property
    def close_matches(self) -> Sequence[tuple[int, int, float]]:
        """(token, runner-up row, gap)."""
        ...

    @property
    def close_masks(self) -> Sequence[tuple[int, int, int, float]]:
        """(layer, query, place, mask logit)."""
        ...


@runtime_checkable
class Reruns(Protocol):
    """A reference whose decisions can be looked at and flipped; see `TorchEngine.rerun`."""

    def rerun(
        self,
        inputs: Mapping[str, Array],
        state: StreamState,
        *,
        matches: Mapping[int, int],
        masks: Collection[tuple[int, int, int]],
        match_margin: float,
        mask_margin: float,
    ) -> Rerun:
        """The frame with some decisions flipped."""
        ...


@dataclass(frozen=True)
class Explainer:
    """Searches the decisions of one frame for those that make the reference equal to the engine.

    Attributes:
        reference: runs the frame again.
        inputs: of the frame.
        before: the stream's state before the frame.
        match_margin: see `Tolerances`.
        mask_margin: see `Tolerances`.
    """

    reference: Reruns
    inputs: Mapping[str, Array]
    before: StreamState
    match_margin: float
    mask_margin: float

    def by_match_ties(self, engine: Mapping[str, Array]) -> tuple[tuple[MatchTie, ...], Rerun] | None:
        """Token matches that, flipped in the reference, give the engine's kept sets at every selection point.

        Args:
            engine: the engine's outputs; `kept_*` are compared.

        Returns:
            The ties and the reference's frame with them; None if no such matches were found.
        """
        close = sorted(self._rerun((), ()).close_matches, key=lambda item: item[2])
        ties = [MatchTie(token, row, gap) for token, row, gap in close]
        attempts = chain(combinations(ties, 1), combinations(ties, 2), combinations(ties, 3))
        for attempt, _ in zip(attempts, range(MAX_RERUNS), strict=False):
            flipped = self._rerun(attempt, ())
            if all(
                np.array_equal(engine[name], kept) for name, kept in flipped.outputs.items() if name.startswith("kept_")
            ):
                return attempt, flipped
        return None

    def by_mask_ties(
        self,
        reference: Mapping[str, Array],
        engine: Mapping[str, Array],
        rows: Rows,
        tolerance: float,
        matches: Sequence[MatchTie] = (),
    ) -> tuple[tuple[MaskTie, ...], Rerun] | None:
        """Attention mask decisions that, flipped in the reference, bring its candidate outputs within tolerance.

        Decisions are tried in order of their distance from 0, those of any query, because queries attend to each other;
        one is kept if it brings the reference closer to the engine.

        Args:
            reference: the reference's outputs as they were.
            engine: the engine's outputs.
            rows: rows of the candidate outputs that correspond.
            tolerance: largest absolute difference allowed.
            matches: match ties that explain the frame's kept sets already.

        Returns:
            The ties and the reference's frame with them; None if no such decisions were found.
        """
        moved = _differences(reference, engine, rows)
        close = (MaskTie(*item) for item in self._rerun(matches, ()).close_masks)
        ties: list[MaskTie] = []
        for tie in sorted(close, key=lambda item: abs(item.logit))[:MAX_RERUNS]:
            flipped = self._rerun(matches, [*ties, tie])
            if not np.array_equal(flipped.outputs["query_indices"], reference["query_indices"]):
                continue
            remaining = _differences(flipped.outputs, engine, rows)
            if remaining.sum() < moved.sum():
                ties.append(tie)
                moved = remaining
                if moved.max(initial=0.0) <= tolerance:
                    return tuple(ties), flipped
        return None

    def _rerun(self, matches: Sequence[MatchTie], masks: Sequence[MaskTie]) -> Rerun:
        return self.reference.rerun(
            self.inputs,
            self.before,
            matches={tie.token: tie.row for tie in matches},
            masks=[(tie.layer, tie.query, tie.place) for tie in masks],
            match_margin=self.match_margin,
            mask_margin=self.mask_margin,
        )


def _differences(reference: Mapping[str, Array], engine: Mapping[str, Array], rows: Rows) -> Array:
    """Largest absolute difference `[n]` of each corresponding row, over the candidate outputs."""
    worst = np.zeros(len(rows[0]))
    for name in COMPARED:
        difference = np.abs(reference[name][rows[0]].astype(np.float64) - engine[name][rows[1]])
        worst = np.maximum(worst, difference.reshape(len(worst), -1).max(axis=1, initial=0.0))
    return worst
