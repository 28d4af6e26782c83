"""Asking for weights without training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RandomWeights:
    """Asks for seeded random weights instead of a checkpoint."""

    seed: int = 0
