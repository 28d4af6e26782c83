"""How far apart two tensors are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vpp_deploy.engines.protocols import Array

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Rows `[n]` of the reference's tensor and rows `[n]` of the engine's tensor that mean the same."""


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """The difference between two tensors, over the rows that correspond.

    Attributes:
        maximum: largest absolute difference of the values that are finite on both sides; 0 if there are none.
        mean: mean absolute difference of the same values; 0 if there are none.
        cosine: cosine similarity of the same values, flattened, in [-1, 1]; None if a side has length zero.
        values: how many values were compared.
        non_finite: NaN and infinite values of the engine, in all rows.
        reference_non_finite: NaN and infinite values of the reference, in all rows.
    """

    maximum: float
    mean: float
    cosine: float | None
    values: int
    non_finite: int
    reference_non_finite: int


def align_rows(reference: npt.NDArray[np.integer], engine: npt.NDArray[np.integer]) -> Rows:
    """The rows at which two lists of keys (token positions, query indices) hold the same key, ascending by key.

    Args:
        reference: `[n]` keys of the reference's rows, without repetition.
        engine: `[m]` keys of the engine's rows. Of a key that repeats, the first row counts.
    """
    _, reference_rows, engine_rows = np.intersect1d(reference, engine, return_indices=True)
    return reference_rows, engine_rows


def compare_tensors(reference: Array, engine: Array, rows: Rows) -> TensorDifference:
    """Compare the rows that correspond; computed in float64.

    Args:
        reference: `[n, ...]`.
        engine: `[m, ...]`, the same trailing shape.
        rows: which rows correspond.
    """
    ours, theirs = reference[rows[0]].astype(np.float64), engine[rows[1]].astype(np.float64)
    finite = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[finite], theirs[finite]
    difference = np.abs(ours - theirs)
    return TensorDifference(
        maximum=float(difference.max(initial=0.0)),
        mean=float(difference.mean()) if difference.size else 0.0,
        cosine=_cosine(ours, theirs),
        values=int(difference.size),
        non_finite=int(np.count_nonzero(~np.isfinite(engine))),
        reference_non_finite=int(np.count_nonzero(~np.isfinite(reference))),
    )


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Each side is divided by its largest value first, so that no square can overflow or vanish."""
    scale_a, scale_b = np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)
    if not (scale_a and scale_b):
        return None
    a, b = a / scale_a, b / scale_b
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))
