"""What runs of all families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PARTS: Final = ("decode", "host", "engine", "write")
"""The parts that the wall time of a run is told by."""

Progress = Callable[[int, int | None], None]
"""Called with the number of frames done and, where it is known, the number to come in all."""
