"""VPP checkpoints, strictly by their own key names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import (
    CheckpointFile,
    first_that_fits,
    hint,
    misfit,
    read_checkpoint,
    read_safetensors,
)
from vpp_deploy.families.vpp.config import SELECTIVE_NORM_EPS, DetectorConfig
from vpp_deploy.families.vpp.detector import VppDetector

PREFIX = "detector."
"""Before every parameter name in the official checkpoints."""

_SELECTION_PARTS = (f"{PREFIX}backbone.selective_modules.", f"{PREFIX}backbone.interactions.0.matching_module.")


def load_detector(
    config: DetectorConfig, source: Path | CheckpointFile, ignore_prefix: str | None = None
) -> VppDetector:
    """A detector with the weights of a checkpoint, in evaluation mode.

    A dense model also accepts the checkpoint of a pruned one: the selection modules' tensors are then left out, and the
    blocks keep the epsilon that they were trained with. Half-precision weights become float32.

    Args:
        config: the model that the checkpoint should fit.
        source: see `read_checkpoint`. Its tensors may have a prefix that training code puts before all names, or lack
            `PREFIX`.
        ignore_prefix: the source is a bundle's weights file, which also holds constants of its graphs: leave out
            tensors whose names start with this.

    Raises:
        CheckpointError: as `read_checkpoint`; or tensors are missing, unexpected, or of the wrong shape or type.
    """
    if ignore_prefix is None:
        tensors = read_checkpoint(source)
    else:
        tensors = read_safetensors(source.path if isinstance(source, CheckpointFile) else source)
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(ignore_prefix)}
    return first_that_fits(tensors, lambda found: _with_or_without_prefix(config, found, source), source)


def _with_or_without_prefix(
    config: DetectorConfig, tensors: Mapping[str, Tensor], source: Path | CheckpointFile
) -> VppDetector:
    try:
        return _detector(config, tensors, source)
    except CheckpointError:
        if any(name.startswith(PREFIX) for name in tensors):
            raise
        try:
            return _detector(config, {PREFIX + name: tensor for name, tensor in tensors.items()}, source)
        except CheckpointError:
            pass
        raise


def _detector(config: DetectorConfig, found: Mapping[str, Tensor], source: Path | CheckpointFile) -> VppDetector:
    tensors = dict(found)
    selection = [name for name in tensors if name.startswith(_SELECTION_PARTS)]
    if config.keep.is_dense and selection:
        config = replace(config, backbone=replace(config.backbone, block_norm_eps=SELECTIVE_NORM_EPS))
        for name in selection:
            del tensors[name]
    with torch.device("meta"):
        detector = VppDetector(config)
    _check(source, config, official_state_dict(detector), tensors)
    state = {
        name.removeprefix(PREFIX): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    detector.load_state_dict(state, strict=True, assign=True)
    return detector.requires_grad_(False).eval()


def official_state_dict(detector: VppDetector) -> dict[str, Tensor]:
    """The detector's tensors under the names of the official checkpoints."""
    return {PREFIX + name: tensor for name, tensor in detector.state_dict().items()}


def _check(
    source: Path | CheckpointFile, config: DetectorConfig, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    differing = misfit(expected, found)
    if differing is None:
        return
    likely = hint(expected, found) or "is it a checkpoint of another model or label set?"
    shapes = [name for name in expected.keys() & found.keys() if found[name].shape != expected[name].shape]
    if shapes and expected.keys() == found.keys() and all(name.startswith(_SELECTION_PARTS) for name in shapes):
        likely = "its selection modules cannot run on this model's tokens; it only serves the keep schedule dense"
    raise CheckpointError(f"checkpoint {source} does not fit {config.name} ({config.dataset}): {differing}; {likely}")
