"""How far INT8 is from float32 on the same inputs: one number for each output, state tensor and decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.tensors import Rows, align_rows
from vpp_deploy.tasks.segmentation.parity.candidates import compare_candidates
from vpp_deploy.tasks.segmentation.parity.frame import POSITIONS

Outputs = Mapping[str, Array]
"""What a graph gave, state included, by name."""
_CANDIDATES = ("class_logits", "mask_logits", "query_features")
"""Outputs with a row for each candidate query, in whatever order a side found them."""


def output_errors(
    manifest: Manifest, role: GraphRole, inputs: Outputs, reference: Outputs, quantised: Outputs
) -> dict[str, float]:
    """Compare two sides of one run of a graph.

    Args:
        manifest: of the bundle.
        role: the graph.
        inputs: what went in, state included.
        reference: what float32 gave.
        quantised: what INT8 gave.

    Returns:
        By output or state name: of floats the length of the difference over that of the reference; of kept tokens and
        other whole numbers the share that only one side has. In [0, 1] but for floats that are far off.
    """
    rows = _rows(manifest, inputs, reference, quantised)
    errors = {}
    for name in manifest.outputs_of(role):
        ours, theirs = reference[name], quantised[name]
        if np.issubdtype(ours.dtype, np.floating):
            aligned = rows.get(name)
            errors[name] = relative(*((ours, theirs) if aligned is None else (ours[aligned[0]], theirs[aligned[1]])))
        elif name not in ("query_indices", "candidates"):  # whose numbers follow from the class logits
            errors[name] = differing(ours, theirs)
    return errors


def relative(reference: Array, quantised: Array) -> float:
    """Length of the difference over that of the reference; of a reference of zeros 0 or 1."""
    ours, theirs = reference.astype(np.float64), quantised.astype(np.float64)
    difference, length = float(np.linalg.norm(ours - theirs)), float(np.linalg.norm(ours))
    return difference / length if length else float(difference > 0.0)


def differing(reference: Array, quantised: Array) -> float:
    """Share of whole numbers that the reference has and the other does not, row by row of a batch."""
    ours, theirs = (
        np.atleast_2d(array).reshape(array.shape[0] if array.ndim > 1 else 1, -1) for array in (reference, quantised)
    )
    missing = [len(np.setdiff1d(*pair)) / max(1, len(np.unique(pair[0]))) for pair in zip(ours, theirs, strict=True)]
    return float(np.mean(missing))


def mean_errors(errors: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over all runs that have it."""
    names = dict.fromkeys(name for found in errors for name in found)
    return {name: float(np.mean([found[name] for found in errors if name in found])) for name in names}


def _rows(manifest: Manifest, inputs: Outputs, reference: Outputs, quantised: Outputs) -> dict[str, Rows]:
    """Rows that mean the same, of the tensors where both sides may list them differently."""
    if not isinstance(manifest, SegmentationManifest):
        return {}
    slots = inputs.get("track_valid", np.zeros(manifest.detection.max_tracks, bool))
    _, candidates = compare_candidates(manifest, reference, quantised, (slots, slots), tolerance=0.0)
    rows = dict.fromkeys(_CANDIDATES, candidates)
    states = {state.name: state.output for state in manifest.state}
    if (positions := states.get(POSITIONS)) is not None:
        tokens = align_rows(reference[positions], quantised[positions])
        rows |= {output: tokens for name, output in states.items() if name != POSITIONS}
    return rows
