"""What a run of a model of plain tensors can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import option


@dataclass(frozen=True)
class RunOptions:
    """Options of `infer` on bundles of plain tensors."""

    allow_nonfinite: bool = option(False, "Write outputs that hold NaN or infinity, too.")
