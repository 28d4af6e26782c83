"""Whether two sides keep the same tokens, and if not, whether a tie explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vpp_deploy.engines.protocols import Array

Kind = Literal["tie", "consequence", "mismatch"]
"""Why a token is kept by one side only.

`tie`: the token was active and its score is within the tie margin of the K-th best one: rounding may decide either way.
`consequence`: an earlier selection point of the frame already differs. From there on the two sides run attention over
different tokens, so their scores differ by more than rounding, and nothing can be said about the token.
`mismatch`: neither; the engine is wrong.
"""


@dataclass(frozen=True, slots=True)
class DifferingToken:
    """A token that one side keeps and the other does not.

    Attributes:
        position: row-major on the token grid.
        kept_by: the side that keeps it.
        kind: why.
        gap: its score minus the K-th best score, both the reference's; None if no scores were asked for or known.
    """

    position: int
    kept_by: Literal["reference", "engine"]
    kind: Kind
    gap: float | None


@dataclass(frozen=True, slots=True)
class SelectionDifference:
    """One selection point on one frame.

    Attributes:
        kept: how many tokens the reference keeps.
        common: how many of them the engine keeps too.
        differing: the tokens that one side keeps, by position.
    """

    kept: int
    common: int
    differing: tuple[DifferingToken, ...]

    @property
    def overlap(self) -> float:
        """Share of the reference's kept tokens that the engine keeps too, in [0, 1]."""
        return self.common / self.kept if self.kept else 1.0

    def count(self, kind: Kind) -> int:
        """How many of the differing tokens are of this kind."""
        return Counter(token.kind for token in self.differing)[kind]


def position_fault(positions: Array, tokens: int) -> str | None:
    """What is wrong with an engine's positions or query indices `[K]`, or None: they must ascend within 0..tokens-1."""
    if positions.size and (positions.min() < 0 or positions.max() >= tokens):
        return f"a value outside 0..{tokens - 1}: {positions.min()}..{positions.max()}"
    if (np.diff(positions.astype(np.int64)) <= 0).any():
        return "values that are not strictly ascending"
    return None


def compare_selections(
    reference: Mapping[str, Array],
    engine: Mapping[str, Array],
    scores: Mapping[str, Array],
    tie_margin: float,
) -> dict[str, SelectionDifference]:
    """Compare the kept tokens of one frame, point by point in the order of the blocks.

    Both sides see the same tokens up to and including the first point that differs, so the reference's scores decide
    there which differences are ties. At later points every difference is a consequence.

    Args:
        reference: kept positions `[K]` of each selection point, in the order of the blocks.
        engine: the same points.
        scores: the reference's scores `[N]` of the points; a difference at a point without scores is a mismatch.
        tie_margin: see `Tolerances`.
    """
    differences: dict[str, SelectionDifference] = {}
    active: Array | None = None  # None: all tokens
    diverged = False
    for point, ours in reference.items():
        theirs = engine[point]
        differing = []
        for position in np.setxor1d(ours, theirs):
            kind, gap = _explain(position, ours, active, scores.get(point), tie_margin)
            kept_by: Literal["reference", "engine"] = "reference" if position in ours else "engine"
            differing.append(DifferingToken(int(position), kept_by, "consequence" if diverged else kind, gap))
        differences[point] = SelectionDifference(len(ours), len(np.intersect1d(ours, theirs)), tuple(differing))
        diverged = diverged or bool(differing)
        active = ours
    return differences


def _explain(
    position: np.integer, kept: Array, active: Array | None, scores: Array | None, tie_margin: float
) -> tuple[Kind, float | None]:
    """Whether a token at the first differing point is a tie, and its score minus the K-th best one."""
    if scores is None or not 0 <= position < len(scores):
        return "mismatch", None
    gap = _kth_gap(scores, kept, position)
    may_be_kept = active is None or position in active
    return ("tie" if may_be_kept and abs(gap) <= tie_margin else "mismatch"), gap


def _kth_gap(scores: npt.NDArray[np.floating], kept: Array, position: np.integer) -> float:
    return float(scores[position]) - float(scores[kept].min())
