"""This machine: processors to use, and NVIDIA GPUs as the driver's own tool tells them (nothing of CUDA is loaded)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Final

_QUERY: Final = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader")


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as `nvidia-smi` describes it."""

    name: str
    driver: str
    memory: str
    compute_capability: str


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The GPUs with a driver; none where `nvidia-smi` is missing or fails."""
    try:
        answer = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[field.strip() for field in line.split(",")] for line in answer.splitlines()]
    return tuple(Gpu(*row) for row in rows if len(row) == 4)


def available_processors() -> int:
    """Processors that this process may use: its affinity where the system has one, otherwise all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
