"""What a classification session needs of the graph."""

from __future__ import annotations

from math import prod

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.tasks.contract import Contract


def check_contract(manifest: ClassificationManifest) -> None:
    """See that the graph takes what a session feeds and gives what it reads.

    Raises:
        BundleError: it does not.
    """
    contract = Contract(manifest, "a classification session")
    inputs = manifest.graphs["model"].inputs
    if len(inputs) != 1:
        contract.refuse("model", f"has {len(inputs)} inputs instead of one")
    clip = () if manifest.clip is None else (manifest.clip.frames,)
    contract.require("model", "input", inputs[0].name, "uint8", (manifest.batch, *clip, *manifest.frame_size, 3))
    if not manifest.class_names and manifest.features is None:
        contract.refuse("model", "knows no class")
    width = len(manifest.class_names) if manifest.features is None else manifest.features
    contract.require("model", "output", manifest.output, "float32", (manifest.batch, width))
    for point in manifest.pruning_points:
        tokens = prod(point.grid) + point.fused
        grid = (tokens,) if point.fused else point.grid
        contract.require("model", "output", point.significance_output, "float32", (manifest.batch, *grid))
        if point.kept_output is not None:
            contract.require("model", "output", point.kept_output, "int32", (manifest.batch, point.kept))
        if point.kept > tokens:
            contract.refuse("model", f"keeps {point.kept} of {tokens} tokens at {point.name!r:.80}")
    names = [point.name for point in manifest.pruning_points]
    if len(set(names)) < len(names):
        contract.refuse("model", "has two pruning points of one name")
