"""What a user should know about pictures that were read well, said once however often it was so."""

from __future__ import annotations

import os
from collections.abc import Sequence


class Notes:
    """Remarks about what is read, each with how many pictures it holds for.

    Args:
        source: what is read, as messages show it.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self._source = str(source)
        self._remarks: dict[str, tuple[int, str]] = {}

    def add(self, remark: str, name: str = "") -> None:
        """Note something about a picture.

        Args:
            remark: half a sentence that fits one picture and many, e.g. `transparent: …`.
            name: of the picture; "" for a remark about the whole source.
        """
        count, first = self._remarks.get(remark, (0, name))
        self._remarks[remark] = count + 1, first

    @property
    def lines(self) -> Sequence[str]:
        """One line for each remark."""
        return tuple(self._line(remark, *found) for remark, found in self._remarks.items())

    def _line(self, remark: str, count: int, first: str) -> str:
        if first in ("", os.path.basename(self._source)):
            return f"{self._source}: {remark}"
        which = f"{count} pictures ({first} is the first)" if count > 1 else first
        return f"{self._source}: {which}: {remark}"
