"""JSON lines as a store keeps them: compressed, and the same from every run."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpp_deploy.corpus.locations import failing_as
from vpp_deploy.corpus.store import Store
from vpp_deploy.errors import OutputError

OPTIONAL: Final = ("kept", "significance")
"""What takes most of a line."""
_LEVEL: Final = 6
"""Of compression: 9 takes four times as long for 4 % less."""


def pack(source: Path, target: Path, *, kept: bool) -> dict[str, Any]:
    """Compress the lines that `infer --json` wrote, without the times of each frame, which no two runs share.

    Args:
        source: JSON lines.
        target: the file to write.
        kept: leave in what was kept of each frame, and how significant it was.

    Returns:
        `frames` and `lines`, how many there are; `seconds`, the sums of the times by part.
    """
    seconds: dict[str, float] = {}
    lines = frames = 0
    # Neither a name nor a time goes into the header.
    with source.open("rb") as plain, target.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, 0) as packed:
        for line in plain:
            record = json.loads(line)
            for part, spent in record.pop("seconds").items():
                seconds[part] = seconds.get(part, 0.0) + spent
            for name in () if kept else OPTIONAL:
                record.pop(name, None)
            packed.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            lines += 1
            frames = 1 + (record["indices"][-1] if "indices" in record else record["index"])
    return {"frames": frames, "lines": lines, "seconds": seconds}


def read_lines(store: Store, name: str) -> Iterator[dict[str, Any]]:
    """The lines of a result.

    Raises:
        OutputError: it cannot be read, or was damaged.
    """
    with (
        failing_as(OutputError, f"{store}/{name} is damaged; delete it and run the same command again"),
        store.open(name) as file,
        gzip.open(file) as lines,
    ):
        for line in lines:
            yield json.loads(line)
