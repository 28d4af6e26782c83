"""What runs of all families share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError

PARTS: Final = ("decode", "host", "engine", "write")
"""The parts that the wall time of a run is told by."""

Progress = Callable[[int, int | None], None]
"""Called with the number of frames done and, where it is known, the number to come in all."""


def check_distinct(source: Path | str, outputs: Iterable[Path]) -> None:
    """See that no output would overwrite what is read, or another output.

    Args:
        source: what is read: a file or a folder.
        outputs: files and folders that will be written.

    Raises:
        UsageError: an output is the source, contains it, or is or contains another output.
    """
    read = Path(os.path.realpath(source))
    written: list[Path] = []
    for path in outputs:
        target = Path(os.path.realpath(path))
        if read.is_relative_to(target):
            raise UsageError(f"output {path} would overwrite the video or images that are read; give it another name")
        if any(target.is_relative_to(other) or other.is_relative_to(target) for other in written):
            raise UsageError(f"output {path} would overwrite another output; give it another name")
        written.append(target)
