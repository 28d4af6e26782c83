"""JSON lines as a store keeps them: compressed, and the same from every run."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.hashing import sha256_of_open_file
from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.locations import failing_as
from vpp_deploy.corpus.markers import Marker
from vpp_deploy.corpus.plan import result_name
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


def read_lines(store: Store, item: Item, marker: Marker) -> Iterator[dict[str, Any]]:
    """The lines of an item's result, which has been looked through first: all of them, or an error.

    Args:
        store: has it.
        item: whose.
        marker: has its hash.

    Raises:
        OutputError: it cannot be read, or is not what was written.
    """
    name = result_name(item)
    damaged = f"{store}/{name} is damaged; delete it and run the same command again"
    with failing_as(OutputError, damaged), store.open(name) as file:
        if not sha256_of_open_file(file).startswith(marker.result):
            raise OutputError(f"{damaged}: these are other bytes than were written")
        file.seek(0)
        with gzip.open(file) as lines:
            for line in lines:
                yield json.loads(line)
