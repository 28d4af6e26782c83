"""Checkpoints of any family: read without ever running code from the file, and held to the tensors that fit."""

from vpp_deploy.exporters.checkpoint.fitting import (
    check_fit,
    check_types,
    first_that_fits,
    hint,
    in_float32_each,
    load_strictly,
    misfit,
    mismatch,
    without_prefixes,
)
from vpp_deploy.exporters.checkpoint.reading import (
    checkpoint_record,
    fingerprint,
    read_checkpoint,
    read_safetensors,
    weights_of,
)
from vpp_deploy.exporters.checkpoint.records import CheckpointFile
from vpp_deploy.exporters.checkpoint.soundness import check_weights, in_float32

__all__ = [
    "CheckpointFile",
    "check_fit",
    "check_types",
    "check_weights",
    "checkpoint_record",
    "fingerprint",
    "first_that_fits",
    "hint",
    "in_float32",
    "in_float32_each",
    "load_strictly",
    "misfit",
    "mismatch",
    "read_checkpoint",
    "read_safetensors",
    "weights_of",
    "without_prefixes",
]
