"""A file of JSON lines that survives an error as far as it got."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vpp_deploy.files.outputs import OutputFile, OutputWriter


class JsonLinesFile(OutputWriter):
    """One JSON object per line.

    The file appears under its name when the `with` block ends well. After an exception the complete lines so far are
    kept as `<name>.partial`, and a file that had the name before is left alone; without a line, nothing is kept.

    Args:
        path: the target; an existing file is replaced.

    Raises:
        OutputError: the target cannot be written. Raised here, before the first line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._output = OutputFile(path)
        self._file = self._output.open()
        self._complete = 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Append an object.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._output.failure(error) from error
        self._complete += len(line)

    def finish(self) -> None:
        """Write what is still to be written.

        Raises:
            OutputError: writing failed.
        """
        try:
            self._file.close()
        except OSError as error:
            raise self._output.failure(error) from error

    def commit(self) -> None:
        """Give the file its name."""
        self._output.commit()
        self._complete = 0

    def discard(self) -> Path | None:
        """Give up: keep complete lines as `<name>.partial`, and tell where that is."""
        self._output.abandon()
        with suppress(OSError):  # Unwritten bytes of a broken line: they are cut off below anyway.
            self._file.close()
        complete, self._complete = self._complete, 0
        return self._output.keep(complete)
