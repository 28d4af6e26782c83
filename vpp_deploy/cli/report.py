"""A report as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vpp_deploy.files.outputs import OutputFile


@contextmanager
def report_file(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes the report. A file that cannot be written fails here, before the frames are run."""
    if path is None:
        yield lambda report: None
        return
    output = OutputFile(path)

    def write(report: Mapping[str, Any]) -> None:
        output.write((json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
        output.commit()

    try:
        yield write
    finally:
        output.discard()
