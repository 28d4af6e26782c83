"""Output files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from vpp_deploy.errors import OutputError


class OutputWriter(ABC):
    """Something that writes one output file in a `with` block: finished if the block ends well, else discarded."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file and give it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Give up after an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


class OutputFile:
    """A temporary file in the target's folder, which takes the target's name on `commit`.

    Making one creates the temporary file, so an output that cannot be written fails before any work is done.

    Attributes:
        path: the target.
        temporary: where to write until then.

    Raises:
        OutputError: the target is a folder, or its folder does not exist or cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        folder = self.path.parent
        if not folder.is_dir():
            raise OutputError(f"{self.path}: {folder} is not a folder that exists; create it or choose another place")
        if self.path.is_dir():
            raise OutputError(f"{self.path}: this is a folder; give the name of a file")
        self.temporary = folder / f".vpp-{uuid.uuid4().hex[:12]}.tmp"
        try:
            self.temporary.touch(exist_ok=False)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot write in {folder}: {error.strerror}; choose another place"
            ) from error

    def commit(self, path: Path | None = None) -> None:
        """Give the temporary file its name: the target's, or `path` in the same folder."""
        target = path or self.path
        try:
            os.replace(self.temporary, target)
        except OSError as error:
            self.discard()
            raise OutputError(f"{target}: cannot be written: {error.strerror}; choose another name") from error

    def discard(self) -> None:
        """Remove the temporary file. Harmless when called twice."""
        self.temporary.unlink(missing_ok=True)
