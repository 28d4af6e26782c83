"""What is timed of a model: the same call again and again, on data that waits in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

DISTINCT: Final = 16
"""Calls before the data repeats: enough that caches do not know it by heart, few enough to fit into memory."""


class Workload(Protocol):
    """A session that is called with the next data, from the first to the last and again.

    Attributes:
        items: frames, images or clips that a call takes.
        unit: what they are, in the plural.
    """

    items: int
    unit: str

    def __call__(self) -> Mapping[str, float]:
        """Make one call.

        Returns:
            Seconds of the whole call by part: `engine`, and whatever else there is.
        """
        ...
