"""What a pruned classifier computes, in words. One GFLOP is 10^9 multiply-accumulates, as the papers count."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vpp_deploy.terminal import console

if TYPE_CHECKING:
    from vpp_deploy.bundle import ClassificationManifest

Facts = list[tuple[str, str]]


def gflops(manifest: ClassificationManifest) -> Facts:
    """Cost of one image or clip, dense and pruned."""
    cost, name = manifest.cost, f"GFLOPs per {'image' if manifest.clip is None else 'clip'}"
    if cost.pruned == cost.dense:
        return [(name, f"{cost.dense / 1e9:.2f}, nothing is pruned")]
    pruned = f"{cost.pruned / 1e9:.2f} ({console.percent(cost.pruned / cost.dense)} of dense)"
    share = f", of which {manifest.proposal} {cost.proposal / 1e9:.2f}" if manifest.proposal else ""
    return [(name, f"dense {cost.dense / 1e9:.2f}, pruned {pruned}{share}")]


def tokens(manifest: ClassificationManifest) -> Facts:
    """How many patches stay at each pruning point, and how many tokens merging leaves."""
    rows = [(point.name.replace("_", " "), f"{prod(point.grid)} -> {point.kept}") for point in manifest.pruning_points]
    return rows + merging(manifest)


def merging(manifest: ClassificationManifest) -> Facts:
    """What ToMe leaves; nothing for a model that does not merge."""
    if manifest.final_tokens is None:
        return []
    left = f"{manifest.final_tokens} tokens after the last block, class token included"
    return [("merging", f"up to {manifest.merged} tokens a block, leaves {left}")]
