"""The engines that a bundle is evaluated on, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE, Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.engines import TORCH, check_engines

Mode = Literal["topk", "threshold"]
"""How tokens are selected: the best ones, a fixed number (as exported), or all that the model wants (as trained)."""


def check_mode(engines: Sequence[str | Engine], mode: Mode) -> None:
    """See that engines and mode make sense before anything is loaded.

    Raises:
        UsageError: see `check_engines`; or `threshold` with anything else than the name `torch`.
    """
    names = check_engines(engines)
    for engine, name in zip(engines, names, strict=True):
        if mode == "threshold" and engine != TORCH:
            raise UsageError(f"selection by threshold is for {TORCH}, not for {name}: a graph keeps a fixed number")


def engine_record(bundle: Bundle, name: str) -> Path | None:
    """The file that changes when an engine is built again; None for one that is not built."""
    path = bundle.engine_folder(name) / ENGINE_RECORD_FILE
    return path if path.is_file() else None
