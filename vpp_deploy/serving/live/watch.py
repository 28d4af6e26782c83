"""Lists of sources that are looked at again and again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from vpp_deploy.errors import VppDeployError
from vpp_deploy.media.inputs import find_inputs, is_list, read_list

_Mark = tuple[int, int, int] | None


class SourceLists:
    """The sources behind words, of which some may be lists (`.txt`, see `find_inputs`) that change.

    Attributes:
        watching: there is a list among them.
        problem: why a list could not be read the last time, as one line; the sources before it stay. None if it could.

    Args:
        words: paths, addresses, cameras, patterns, lists.

    Raises:
        VppDeployError: see `find_inputs`.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._lists = [word for word in words if is_list(word)]
        self.watching = bool(self._lists)
        self.problem: str | None = None
        self._seen = self._read = self._marks()
        self.sources = self._all()

    @property
    def doubled(self) -> list[str]:
        """Sources that are named more than once."""
        return [source for source, count in Counter(self.sources).items() if count > 1]

    def look(self) -> bool:
        """Whether the sources have changed since the last look. A list that is just being written has another one."""
        marks = self._marks()
        settled, self._seen = marks == self._seen, marks
        if not settled or marks == self._read:
            return False
        self._read = marks
        try:
            found = self._all()
        except VppDeployError as error:
            self.problem = str(error)
            return False
        self.problem = None
        changed, self.sources = found != self.sources, found
        return changed

    def _all(self) -> list[str]:
        return [source for word in self._words for source in self._behind(word)]

    def _behind(self, word: str) -> Sequence[str]:
        return list(read_list(word)) if word in self._lists else find_inputs([word]).locations

    def _marks(self) -> list[_Mark]:
        return [_mark(path) for path in self._lists]


def _mark(path: str) -> _Mark:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
