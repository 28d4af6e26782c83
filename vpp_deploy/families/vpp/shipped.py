"""Weights that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vpp_deploy.families.vpp.config import DetectorConfig

SHIPPED_MODELS: Final = ("vpp-demo",)
"""Models that need no checkpoint. One file serves every keep schedule; dense inference leaves the selection out."""

_FOLDER: Final = Path(__file__).parent / "weights"


def shipped_weights(config: DetectorConfig) -> Path | None:
    """The weights file that comes with the package for a model; None if there is none."""
    if config.name not in SHIPPED_MODELS:
        return None
    return _FOLDER / config.name / f"{config.name}.safetensors"
