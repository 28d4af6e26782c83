"""What a video session needs of the graphs; the C++ runtime holds them to the same (`cpp/src/session_contract.cpp`)."""

from __future__ import annotations

from typing import Final

from vpp_deploy.bundle.manifest import DType, GraphRole
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.tasks.contract import Contract, Shape

NOISE_INPUT: Final = "selection_noise"
_ANY: Final = 0


def check_contract(manifest: SegmentationManifest) -> None:
    """See that the graphs take what a session feeds and give what it reads.

    Raises:
        BundleError: they do not.
    """
    contract = Contract(manifest, "a video session")
    for role in manifest.roles:
        _check_inputs(contract, manifest, role)
        _check_outputs(contract, manifest, role)


def _check_inputs(contract: Contract, manifest: SegmentationManifest, role: GraphRole) -> None:
    detection = manifest.detection
    fed: dict[str, tuple[DType, Shape]] = {
        "frame": ("uint8", (*manifest.frame_size, 3)),
        "content_size": ("int32", (2,)),
        "track_queries": ("float32", (detection.max_tracks, detection.query_width)),
        "track_valid": ("bool", (detection.max_tracks,)),
        NOISE_INPUT: ("float32", (_ANY, _ANY, _ANY)),
    }
    for spec in manifest.graphs[role].inputs:
        if spec.name not in fed:
            contract.refuse(role, f"has the input {spec.name!r:.80}")
        contract.require(role, "input", spec.name, *fed[spec.name])


def _check_outputs(contract: Contract, manifest: SegmentationManifest, role: GraphRole) -> None:
    count = contract.shape(role, "output", "class_logits", 2)[0]
    contract.require(role, "output", "class_logits", "float32", (count, len(manifest.class_names) + 1))
    contract.require(role, "output", "mask_logits", "float32", (count, _ANY, _ANY))
    contract.require(role, "output", "query_features", "float32", (count, manifest.detection.query_width))
    contract.require(role, "output", "query_indices", "int32", (count,))
    contract.require(role, "output", "candidates", "int32", (1,))
    tokens = manifest.token_grid[0] * manifest.token_grid[1]
    for point in manifest.pruning_points:
        if role not in point.phases:
            continue
        contract.require(role, "output", point.output, "int32", (point.kept,))
        if point.kept > tokens:
            contract.refuse(role, f"keeps {point.kept} of {tokens} tokens at {point.name!r:.80}")
