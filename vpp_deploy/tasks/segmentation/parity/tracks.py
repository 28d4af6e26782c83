"""Whether two sides track the same objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vpp_deploy.tasks.segmentation.results import Instances


@dataclass(frozen=True, slots=True)
class TrackDifference:
    """The tracks of one frame.

    Attributes:
        tracks: how many tracks the reference has.
        only_reference: identities that the engine lacks, ascending.
        only_engine: identities that the reference lacks, ascending.
        relabelled: identities that both have, with different labels, ascending.
        mask_ious: mask intersection over union of the identities that both have, ascending by identity; in [0, 1].
        score_difference: largest absolute score difference of the identities that both have; 0 if there are none.
    """

    tracks: int
    only_reference: tuple[int, ...]
    only_engine: tuple[int, ...]
    relabelled: tuple[int, ...]
    mask_ious: tuple[float, ...]
    score_difference: float

    @property
    def identical(self) -> bool:
        """Both sides have the same identities with the same labels."""
        return not (self.only_reference or self.only_engine or self.relabelled)


def compare_tracks(reference: Instances, engine: Instances) -> TrackDifference:
    """Compare the tracked objects of one frame, identity by identity. Their order does not matter."""
    shared, ours, theirs = np.intersect1d(reference.identities, engine.identities, return_indices=True)
    relabelled = shared[reference.labels[ours] != engine.labels[theirs]]
    score_differences = np.abs(reference.scores[ours] - engine.scores[theirs])
    return TrackDifference(
        tracks=len(reference),
        only_reference=_identities(np.setdiff1d(reference.identities, shared)),
        only_engine=_identities(np.setdiff1d(engine.identities, shared)),
        relabelled=_identities(relabelled),
        mask_ious=tuple(_iou(reference.masks[a], engine.masks[b]) for a, b in zip(ours, theirs, strict=True)),
        score_difference=float(score_differences.max(initial=0.0)),
    )


def _identities(identities: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(identity) for identity in identities)


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection over union; two empty masks are equal."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
