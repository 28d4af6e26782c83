"""What the fork server calls to read checkpoints: as far as `export` goes before it traces anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from vpp_deploy.bundle.manifest import WeightsProvenance
from vpp_deploy.cli.failures import describe
from vpp_deploy.exporters.checkpoint import CheckpointFile, read_checkpoint
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.terminal import console


class Small(nn.Module):
    """A model with the usual parts."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 2)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)


def main(words: Sequence[str]) -> int:
    """Read the checkpoint of this name into `Small`; the exit code."""
    try:
        source = CheckpointFile(Path(words[0]))
        record = WeightsProvenance(kind="checkpoint", name="fuzzed", sha256="0" * 64)
        Weights(record, read_checkpoint(source), source).fill(Small())
    except Exception as error:
        label, message, code = describe(error)
        console.fail(label, message)
        return code
    return 0
