"""The NVIDIA GPUs of this machine, as the driver's own tool tells them: nothing of CUDA is loaded for that."""

from __future__ import annotations

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
