"""Asking for weights without training."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import check_seed


@dataclass(frozen=True)
class RandomWeights:
    """Asks for seeded random weights instead of a checkpoint.

    Raises:
        UsageError: the seed is no whole number from 0 to 2^32 - 1.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        """See that it is a seed."""
        check_seed("seed", self.seed)
