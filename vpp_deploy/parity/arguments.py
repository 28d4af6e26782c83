"""What every parity check asks of its arguments."""

from __future__ import annotations

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError


def check_arguments(bundle: Bundle, engine: Engine, frames: int | None) -> None:
    """See that a check makes sense before anything is run.

    Raises:
        UsageError: `frames` is below 1, or the engine is of another bundle.
    """
    if frames is not None and frames < 1:
        raise UsageError(f"frames is {frames}; give at least 1, or None for the whole video")
    if bundle.manifest != engine.manifest:
        raise UsageError(f"the {engine.backend} engine was not made from bundle {bundle.path}; load it from there")
