"""Whether two sides keep the same patches in the same order, and if not, whether a tie explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.selection import DifferingToken, SelectionDifference, compare_selections

Order = Literal["same", "tie", "consequence", "mismatch"]
"""Whether the engine lists its kept patches as the reference does, in an order that is as good up to the tie margin, in
one that follows from another choice at an earlier point, or in a wrong one."""


@dataclass(frozen=True, slots=True)
class PatchDifference:
    """One pruning point of one image or clip.

    Attributes:
        selection: which patches are kept; gaps are relative significances.
        order: of the engine's list, in which the most significant patch comes first.
        inversion: how much more significant a patch of the engine's list is than one before it, at most, relative; 0 if
            none is, None if the list has a fault.
    """

    selection: SelectionDifference
    order: Order
    inversion: float | None

    @property
    def mismatched(self) -> bool:
        """Patches or their order differ beyond ties."""
        return self.order == "mismatch" or bool(self.selection.count("mismatch"))


def patch_fault(positions: Array, patches: int) -> str | None:
    """What is wrong with an engine's positions `[K]`, or None: they must be different ones of 0..patches-1."""
    if positions.size and (positions.min() < 0 or positions.max() >= patches):
        return f"a value outside 0..{patches - 1}: {positions.min()}..{positions.max()}"
    if len(np.unique(positions)) < len(positions):
        return "values that repeat"
    return None


def compare_patches(reference: Array, engine: Array, significance: Array, tie_margin: float) -> PatchDifference:
    """Compare the kept patches of one pruning point.

    Args:
        reference: positions `[K]`, most significant first.
        engine: the same.
        significance: `[N]` of all patches, the reference's, relative to the largest.
        tie_margin: see `ClassifierTolerances`.
    """
    # Between slots of a batch the engine's own list takes the reference's place: it may be nonsense.
    scores = {} if patch_fault(reference, len(significance)) else {"": significance}
    selections = compare_selections({"": reference}, {"": engine}, scores, tie_margin)
    inversion = None if patch_fault(engine, len(significance)) else _inversion(significance[engine])
    order: Order = "mismatch"
    if np.array_equal(reference, engine):
        order = "same"
    elif inversion is not None and inversion <= tie_margin:
        order = "tie"
    return PatchDifference(selections[""], order, inversion)


def consequence(reference: Array, engine: Array) -> PatchDifference:
    """The difference at a point that chooses among what an earlier point kept, where the two sides differ already.

    Args:
        reference: positions `[K]`.
        engine: the same.
    """
    differing = tuple(
        DifferingToken(int(position), "reference" if position in reference else "engine", "consequence", None)
        for position in np.setxor1d(reference, engine)
    )
    common = len(np.intersect1d(reference, engine))
    return PatchDifference(SelectionDifference(len(reference), common, differing), "consequence", None)


def _inversion(listed: Array) -> float:
    """How far a list `[K]` is from descending: the largest rise from any value to a later one."""
    return float((listed - np.minimum.accumulate(listed)).max(initial=0.0))
