"""What every parity check asks of its arguments."""

from __future__ import annotations

from collections.abc import Sized

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError


def check_arguments(bundle: Bundle, engine: Engine, frames: int | None) -> None:
    """See that a check makes sense before anything is run.

    Raises:
        UsageError: `frames` is below 1, or the engine is of another bundle.
    """
    if frames is not None and frames < 1:
        raise UsageError(f"frames is {frames}; give at least 1, or None for all")
    if bundle.manifest != engine.manifest:
        raise UsageError(f"the {engine.backend} engine was not made from bundle {bundle.path}; load it from there")


def expected_count(source: object, frames: int | None) -> int | None:
    """How many frames will be compared, where it is known.

    Args:
        source: a reader, which may know how many it has; or any iterable.
        frames: how many are asked for at most; None for all.
    """
    count = len(source) if isinstance(source, Sized) else getattr(source, "frame_count", None)
    return count if frames is None or count is None else min(count, frames)
