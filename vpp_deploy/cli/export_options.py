"""What the user asked `vpp-deploy export` for: the options of every model, and those of one family."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from vpp_deploy.precision import Precision


@dataclass(frozen=True)
class CommonOptions:
    """Options of every model.

    Attributes:
        model: its name.
        out: the bundle's folder.
        checkpoint: file of trained weights.
        seed: of random weights; None if they were not asked for.
        keep: tokens to keep; None for the family's default.
        size: height and width of the input in pixels; None for the model's own.
        precision: of matrix products and convolutions.
        overwrite: replace an existing bundle.
    """

    model: str
    out: Path
    checkpoint: Path | None
    seed: int | None
    keep: str | None
    size: tuple[int, int] | None
    precision: Precision
    overwrite: bool


@dataclass(frozen=True)
class VppOptions:
    """Options of VPP models; None and False where the user said nothing."""

    dataset: str | None = None
    max_tracks: int | None = None
    max_detections: int | None = None
    selection_noise: bool = False


@dataclass(frozen=True)
class PaprOptions:
    """Options of PaPr models; None and False where the user said nothing."""

    pretrained: bool = False
    proposal: str | None = None
    proposal_checkpoint: Path | None = None
    merge: int | None = None
    stages: str | None = None
    labels: Path | None = None
    batch: int | None = None


def given(options: VppOptions | PaprOptions) -> list[str]:
    """The options that the user gave, as they are typed: `--max-tracks`."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return [f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and value is not False]
