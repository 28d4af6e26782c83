"""An `.npz` file of what a run gives, array by array."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import OutputError
from vpp_deploy.files.outputs import OutputFile, OutputWriter

ARRAYS: Final = ".npz"


class ArraysWriter(OutputWriter):
    """The outputs of all frames in an `.npz` file: an array `[frames, ...]` for each. They wait in memory until then.

    Args:
        path: the target.

    Raises:
        OutputError: another extension, or the target cannot be written. Raised here, before the first frame.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() != ARRAYS:
            raise OutputError(f"{path}: outputs of plain tensors are written as {ARRAYS}; use that extension")
        self._output = OutputFile(path)
        self._frames: list[dict[str, npt.NDArray[Any]]] = []

    def append(self, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the outputs of the next frame."""
        self._frames.append({name: array.copy() for name, array in outputs.items()})

    def finish(self) -> None:
        """Write the arrays.

        Raises:
            OutputError: writing failed.
        """
        names = self._frames[0] if self._frames else {}
        arrays: dict[str, Any] = {name: np.stack([frame[name] for frame in self._frames]) for name in names}
        try:
            with self._output.open() as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise self._output.failure(error) from error

    def commit(self) -> None:
        """Give the file its name."""
        self._output.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        self._output.discard()
