"""Everything that parity compares on one image or clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vpp_deploy.bundle.papr_manifest import PaprManifest
from vpp_deploy.classification import top_labels
from vpp_deploy.engine import Array
from vpp_deploy.parity.patches import PatchDifference, compare_patches, patch_fault
from vpp_deploy.parity.tensors import TensorDifference, compare_tensors
from vpp_deploy.parity.tolerances import ClassifierTolerances

LOGITS = "logits"
Row = Mapping[str, Array]
"""A graph's outputs for one image or clip, by name, without the batch."""


@dataclass(frozen=True, slots=True)
class SampleDifference:
    """Two sides on one image or clip.

    Attributes:
        tensors: logits, and significance maps relative to the reference's largest absolute value, by output name.
        patches: kept patches by pruning point.
        faults: kept patches of the engine that cannot be right, by pruning point, and why.
        best: the most probable label, of the reference and of the engine.
        top5: share of the reference's five most probable labels that are among the engine's, in [0, 1].
        same_kept: both sides kept the same patches, and in the same order where tokens are merged behind them.
        rerun: logits are compared with those of the reference with the patches that the engine kept.
    """

    tensors: Mapping[str, TensorDifference]
    patches: Mapping[str, PatchDifference]
    faults: Mapping[str, str]
    best: tuple[int, int]
    top5: float
    same_kept: bool
    rerun: bool = False

    @property
    def comparable(self) -> bool:
        """The logits of both sides follow from the same patches, so that they should differ by rounding only."""
        return self.same_kept or self.rerun

    @property
    def tied(self) -> bool:
        """The kept patches differ, and by ties only."""
        return not (self.same_kept or self.faults or any(point.mismatched for point in self.patches.values()))


def compare_sample(
    manifest: PaprManifest, reference: Row, engine: Row, tolerances: ClassifierTolerances
) -> SampleDifference:
    """Compare what two sides made of one image or clip.

    Args:
        manifest: of the bundle that both run.
        reference: the reference's side.
        engine: the engine's side.
        tolerances: gives the tie margin.
    """
    tensors = {LOGITS: _compare(reference[LOGITS], engine[LOGITS])}
    patches: dict[str, PatchDifference] = {}
    faults: dict[str, str] = {}
    same_kept = True
    for point in manifest.pruning_points:
        ours, theirs = reference[point.kept_output], engine[point.kept_output]
        significance = reference[point.significance_output].ravel().astype(np.float64)
        scale = _scale(significance)
        other = engine[point.significance_output].ravel().astype(np.float64)
        tensors[point.significance_output] = _compare(significance / scale, other / scale)
        patches[point.name] = compare_patches(ours, theirs, significance / scale, tolerances.tie_margin)
        if fault := patch_fault(theirs, significance.size):
            faults[point.name] = fault
        same_kept &= np.array_equal(ours, theirs) if manifest.merged else set(ours.tolist()) == set(theirs.tolist())
    labels = [top_labels(side[LOGITS], 5)[0].tolist() for side in (reference, engine)]
    return SampleDifference(
        tensors=tensors,
        patches=patches,
        faults=faults,
        best=(labels[0][0], labels[1][0]),
        top5=len(set(labels[0]) & set(labels[1])) / len(labels[0]),
        same_kept=same_kept,
    )


def under_rerun(difference: SampleDifference, rerun: Row, engine: Row) -> SampleDifference:
    """The difference, with logits compared with those of the reference with the patches that the engine kept."""
    tensors = {**difference.tensors, LOGITS: _compare(rerun[LOGITS], engine[LOGITS])}
    return replace(difference, tensors=tensors, rerun=True)


def _compare(reference: Array, engine: Array) -> TensorDifference:
    rows = np.arange(len(reference))
    return compare_tensors(reference, engine, (rows, rows))


def _scale(significance: Array) -> float:
    """The largest absolute value; 1 for a map without any."""
    largest = float(np.abs(significance).max())
    return largest if np.isfinite(largest) and largest > 0 else 1.0
