"""A tensor's differences over all frames of a check."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vpp_deploy.parity.tensors import TensorDifference

Counted = tuple[int, TensorDifference, bool]
"""Index of a frame, the difference there, and whether the frame counts."""


@dataclass(frozen=True)
class WorstDifference:
    """A tensor's differences over all frames that count.

    Attributes:
        maximum: largest absolute difference.
        frame: index of the frame that has it; None if no frame counts.
        mean: mean of the frames' mean absolute differences.
        cosine: smallest cosine similarity; None if no frame has one.
        non_finite: NaN and infinite values of the engine, in all frames.
    """

    maximum: float
    frame: int | None
    mean: float
    cosine: float | None
    non_finite: int


def worst_of(differences: Iterable[Counted]) -> WorstDifference:
    """The largest difference, and what else there is to say of all."""
    found = list(differences)
    counted = [(tensor, index) for index, tensor, counts in found if counts]
    maximum, frame = max(((tensor.maximum, index) for tensor, index in counted), default=(0.0, None))
    return WorstDifference(
        maximum=maximum,
        frame=frame,
        mean=math.fsum(tensor.mean for tensor, _ in counted) / max(1, len(counted)),
        cosine=min((tensor.cosine for tensor, _ in counted if tensor.cosine is not None), default=None),
        non_finite=sum(tensor.non_finite for _, tensor, _ in found),
    )
