"""Which stages of a hierarchical model are pruned."""

from __future__ import annotations

from collections.abc import Sequence

from vpp_deploy.errors import ConfigError


def checked_stages(stages: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The stages to prune in ascending order; None means all.

    Raises:
        ConfigError: empty, or a stage that the model does not have.
    """
    if stages is None:
        return tuple(range(count))
    if not stages or any(not 0 <= stage < count for stage in stages):
        raise ConfigError(f"stages {list(stages)}: name one or more of 0 to {count - 1}")
    return tuple(sorted(set(stages)))
