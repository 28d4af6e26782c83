"""A file of JSON lines that survives an error as far as it got."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vpp_deploy.errors import OutputError
from vpp_deploy.media.output import OutputFile, OutputWriter


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
        self._file = open(self._output.temporary, "wb")  # noqa: SIM115 - lives as long as the writer
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
            raise OutputError(f"{self._output.path}: writing failed: {error.strerror}; is the disk full?") from error
        self._complete += len(line)

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._file.close()
        self._output.commit()

    def discard(self) -> None:
        """Give up: keep complete lines as `<name>.partial`."""
        with suppress(OSError):  # Unwritten bytes of a broken line: they are cut off below anyway.
            self._file.close()
        if self._complete:
            os.truncate(self._output.temporary, self._complete)
            self._output.commit(self._output.path.with_name(f"{self._output.path.name}.partial"))
        else:
            self._output.discard()
