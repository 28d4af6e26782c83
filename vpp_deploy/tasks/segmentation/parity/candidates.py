"""Which rows of the candidate outputs correspond, and whether both sides found the same candidates.

The graphs put out the queries with the largest margin: class probability minus the threshold that the tracker asks of
them. Queries with a negative margin cannot become a detection; they only fill the output up and are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.tensors import Rows, align_rows

Margins = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class CandidateDifference:
    """The candidates of one frame, by query index.

    Attributes:
        reference: the reference's `candidates` output: how many queries could become a detection.
        engine: the engine's.
        only_reference: queries that matter by the reference's logits only, ascending.
        only_engine: queries that matter by the engine's logits only, ascending.
        missing: queries that matter on one side by more than rounding, and are not among the other's candidates.
        miscounted: whether the two numbers differ by more than the queries so close to their threshold that rounding
            decides.
    """

    reference: int
    engine: int
    only_reference: tuple[int, ...]
    only_engine: tuple[int, ...]
    missing: tuple[int, ...]
    miscounted: bool


def compare_candidates(
    manifest: SegmentationManifest,
    reference: Mapping[str, Array],
    engine: Mapping[str, Array],
    valid_tracks: tuple[Array, Array],
    tolerance: float,
) -> tuple[CandidateDifference, Rows]:
    """Compare which queries matter.

    Args:
        manifest: gives the thresholds.
        reference: outputs of one frame; `class_logits` `[M, C + 1]`, `query_indices` `[M]`, `candidates` `[1]`.
        engine: the same.
        valid_tracks: `[T]` bool for each side, which track slots were filled.
        tolerance: how far class probabilities may be apart.

    Returns:
        The difference, and the rows of the queries that both sides have and that matter on either one. If none does,
        the row of the most probable one, so that there is always something to compare.
    """
    margins = (margin(manifest, reference, valid_tracks[0]), margin(manifest, engine, valid_tracks[1]))
    queries = (reference["query_indices"], engine["query_indices"])
    matter = tuple(indices[values > 0] for indices, values in zip(queries, margins, strict=True))
    rows = align_rows(*queries)
    relevant = (margins[0][rows[0]] > 0) | (margins[1][rows[1]] > 0)
    if relevant.size and not relevant.any():
        relevant[margins[0][rows[0]].argmax()] = True
    counts = int(reference["candidates"][0]), int(engine["candidates"][0])
    difference = CandidateDifference(
        reference=counts[0],
        engine=counts[1],
        only_reference=_tuple(np.setdiff1d(matter[0], matter[1])),
        only_engine=_tuple(np.setdiff1d(matter[1], matter[0])),
        missing=_tuple(
            np.union1d(
                _missing(queries[0], margins[0], queries[1], tolerance),
                _missing(queries[1], margins[1], queries[0], tolerance),
            )
        ),
        miscounted=_miscounted(counts, margins, tolerance),
    )
    return difference, (rows[0][relevant], rows[1][relevant])


def margin(manifest: SegmentationManifest, outputs: Mapping[str, Array], valid_tracks: Array) -> Margins:
    """Class probability minus the tracker's threshold `[M]` (tracker rule 1); -1 for an empty track slot."""
    logits, queries = outputs["class_logits"].astype(np.float64), outputs["query_indices"].astype(np.int64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = exponentials[:, :-1].max(axis=1) / exponentials.sum(axis=1)
    slots = queries - manifest.detection.num_queries
    learned = slots < 0
    filled = valid_tracks[np.clip(slots, 0, len(valid_tracks) - 1)] & (slots < len(valid_tracks))
    floor = np.where(learned, manifest.tracker.new_score, manifest.tracker.track_score)
    return np.where(learned | filled, probability - floor, -1.0)


def _missing(queries: Array, margins: Margins, others: Array, tolerance: float) -> Array:
    """Queries that matter here and are not among the other side's candidates, though they should be.

    One that is only just among the candidates here may be only just out there: the last ones are excused, if the
    output is full of queries that matter, and so are those at their threshold.
    """
    last = max(0.0, float(margins.min()))
    absent = ~np.isin(queries, others)
    return queries[absent & (margins - last > tolerance)]


def _miscounted(counts: tuple[int, int], margins: tuple[Margins, Margins], tolerance: float) -> bool:
    """Queries at their threshold may be counted by one side only. Those that do not fit the output cannot be seen."""
    if min(counts) > len(margins[0]):
        return False
    undecided = max(int(np.count_nonzero(np.abs(values) <= tolerance)) for values in margins)
    return abs(counts[0] - counts[1]) > undecided


def _tuple(values: Array) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
