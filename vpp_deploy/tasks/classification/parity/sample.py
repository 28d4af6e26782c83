"""Everything that parity compares on one image or clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from vpp_deploy.bundle.classification_manifest import ClassificationManifest, PruningPoint
from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.tensors import TensorDifference, compare_tensors
from vpp_deploy.parity.tolerances import ClassifierTolerances
from vpp_deploy.tasks.classification.parity.patches import PatchDifference, compare_patches, consequence, patch_fault
from vpp_deploy.tasks.classification.session import kept_tokens, top_labels

LOGITS, FEATURES = "logits", "features"
ANSWERS = (LOGITS, FEATURES)
"""What a model gives that is not about patches."""
Row = Mapping[str, Array]
"""A graph's outputs for one image or clip, by name, without the batch."""


@dataclass(frozen=True, slots=True)
class SampleDifference:
    """Two sides on one image or clip.

    Attributes:
        tensors: logits; features and significance maps relative to the reference's largest absolute value; by output
            name.
        patches: kept patches by pruning point.
        faults: kept patches of the engine that cannot be right, by pruning point, and why.
        best: the most probable label, of the reference and of the engine; None of a model without classes.
        top5: share of the reference's five most probable labels that are among the engine's, in [0, 1]; None as `best`.
        same_kept: both sides kept the same patches, and in the same order where tokens are merged behind them.
        consequences: significance maps that follow from another choice at an earlier point, so that they say nothing of
            the engine. None after a rerun.
        rerun: logits, and what would be a consequence, are compared with those of the reference with the patches that
            the engine kept.
    """

    tensors: Mapping[str, TensorDifference]
    patches: Mapping[str, PatchDifference]
    faults: Mapping[str, str]
    best: tuple[int, int] | None
    top5: float | None
    same_kept: bool
    consequences: frozenset[str] = frozenset()
    rerun: bool = False

    @property
    def comparable(self) -> bool:
        """The logits of both sides follow from the same patches, so that they should differ by rounding only."""
        return self.same_kept or self.rerun

    @property
    def tied(self) -> bool:
        """The kept patches differ, and by ties only."""
        return not (self.same_kept or self.faults or any(point.mismatched for point in self.patches.values()))

    def counts(self, tensor: str) -> bool:
        """Whether both sides of a tensor should differ by rounding only."""
        return self.comparable if tensor in ANSWERS else tensor not in self.consequences


def compare_sample(
    manifest: ClassificationManifest, reference: Row, engine: Row, tolerances: ClassifierTolerances
) -> SampleDifference:
    """Compare what two sides made of one image or clip.

    Args:
        manifest: of the bundle that both run.
        reference: the reference's side.
        engine: the engine's side.
        tolerances: gives the tie margin.
    """
    tensors = {manifest.output: _compare_answer(manifest, reference, engine)}
    patches: dict[str, PatchDifference] = {}
    consequences: list[str] = []
    same_kept = same_sets = True
    for point in manifest.pruning_points:
        ours, theirs = kept_tokens(point, reference), kept_tokens(point, engine)
        tensors[point.significance_output] = _compare_significance(point, reference, engine)
        if manifest.sequential and not same_sets:
            patches[point.name] = consequence(ours, theirs)
            consequences.append(point.significance_output)
        else:
            patches[point.name] = _compare_kept(point, ours, theirs, reference, tolerances)
        same_sets &= set(ours.tolist()) == set(theirs.tolist())
        same_kept &= np.array_equal(ours, theirs) if manifest.merged else same_sets
    best: tuple[int, int] | None = None
    top5: float | None = None
    if manifest.features is None:
        ours, theirs = (top_labels(side[LOGITS], 5)[0].tolist() for side in (reference, engine))
        best, top5 = (ours[0], theirs[0]), len(set(ours) & set(theirs)) / len(ours)
    return SampleDifference(
        tensors=tensors,
        patches=patches,
        faults=_faults(manifest, engine),
        best=best,
        top5=top5,
        same_kept=same_kept,
        consequences=frozenset(consequences),
    )


def under_rerun(
    manifest: ClassificationManifest,
    difference: SampleDifference,
    rerun: Row,
    engine: Row,
    tolerances: ClassifierTolerances,
) -> SampleDifference:
    """The difference, with what follows from the choice of patches compared with the reference under that choice.

    Args:
        manifest: of the bundle that both run.
        difference: as `compare_sample` found it.
        rerun: the reference's side with the patches that the engine kept.
        engine: the engine's side.
        tolerances: gives the tie margin.
    """
    tensors = {**difference.tensors, manifest.output: _compare_answer(manifest, rerun, engine)}
    patches = dict(difference.patches)
    for point in manifest.pruning_points:
        if point.significance_output in difference.consequences:
            theirs = kept_tokens(point, engine)
            # What the reference would have chosen here, had it kept the engine's patches before.
            ours = np.argsort(-rerun[point.significance_output].ravel(), kind="stable")[: len(theirs)]
            tensors[point.significance_output] = _compare_significance(point, rerun, engine)
            patches[point.name] = _compare_kept(point, ours, theirs, rerun, tolerances)
    return replace(difference, tensors=tensors, patches=patches, consequences=frozenset(), rerun=True)


def _compare_answer(manifest: ClassificationManifest, reference: Row, engine: Row) -> TensorDifference:
    """Logits as they are; features, whose size means nothing, relative to the largest one."""
    ours, theirs = reference[manifest.output], engine[manifest.output]
    scale = 1.0 if manifest.features is None else _scale(ours)
    return _compare(ours / scale, theirs / scale)


def _compare_significance(point: PruningPoint, reference: Row, engine: Row) -> TensorDifference:
    ours, theirs = (side[point.significance_output].ravel().astype(np.float64) for side in (reference, engine))
    scale = _scale(ours)
    return _compare(ours / scale, theirs / scale)


def _compare_kept(
    point: PruningPoint, ours: Array, theirs: Array, reference: Row, tolerances: ClassifierTolerances
) -> PatchDifference:
    significance = reference[point.significance_output].ravel().astype(np.float64)
    return compare_patches(ours, theirs, significance / _scale(significance), tolerances.tie_margin)


def _faults(manifest: ClassificationManifest, engine: Row) -> dict[str, str]:
    faults: dict[str, str] = {}
    left: set[int] | None = None  # what an earlier point kept; None: everything
    for point in manifest.pruning_points:
        kept, tokens = kept_tokens(point, engine), prod(point.grid) + point.fused
        fault = patch_fault(kept, tokens)
        made = {tokens - 1} if point.fused else set()  # out of what the point before pruned
        gone = set() if left is None else set(kept.tolist()) - left - made
        if fault is None and manifest.sequential and gone:
            fault = f"patches that an earlier point had pruned: {', '.join(map(str, sorted(gone)[:5]))}"
        if fault:
            faults[point.name] = fault
        left = set(kept.tolist())
    return faults


def _compare(reference: Array, engine: Array) -> TensorDifference:
    rows = np.arange(len(reference))
    return compare_tensors(reference, engine, (rows, rows))


def _scale(significance: Array) -> float:
    """The largest absolute value; 1 for a map without any."""
    largest = float(np.abs(significance).max())
    return largest if np.isfinite(largest) and largest > 0 else 1.0
