"""A report as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vpp_deploy.errors import OutputError
from vpp_deploy.files.outputs import OutputFile, find_target, partial_name


def keep_report(path: Path | None, report: Mapping[str, Any], error: BaseException) -> None:
    """Keep the report on what was done before an error as `<name>.partial`, and say so with the error.

    Args:
        path: where the whole report would have gone; None, or what is no regular file, keeps nothing.
        report: on what was done.
        error: gets a note.
    """
    with suppress(OutputError):  # one error is enough
        if path is None or (target := find_target(path)) is None:
            return
        kept = partial_name(target)
        with report_file(kept) as write:
            write(report)
        error.add_note(f"the report until then is in {kept}")


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
