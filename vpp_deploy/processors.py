"""How many processors there are to use."""

from __future__ import annotations

import os


def available_processors() -> int:
    """Processors that this process may use: its affinity where the system has one, otherwise all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
