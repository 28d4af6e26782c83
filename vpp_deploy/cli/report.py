"""A report as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vpp_deploy.errors import OutputError


@contextmanager
def report_file(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes the report. A file that cannot be written fails here, before the frames are run."""
    from vpp_deploy.media.output import OutputFile

    if path is None:
        yield lambda report: None
        return
    output = OutputFile(path)

    def write(report: Mapping[str, Any]) -> None:
        try:
            output.temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: writing failed: {error.strerror}; is the disk full?") from error
        output.commit()

    try:
        yield write
    finally:
        output.discard()
