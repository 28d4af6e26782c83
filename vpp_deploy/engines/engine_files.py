"""The files of an engine that a bundle holds: those that its record lists, with the hashes that it lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vpp_deploy.bundle.files import file_problem, is_unlinked, read_listed
from vpp_deploy.bundle.manifest import FileRecord
from vpp_deploy.errors import IncompatibleEngineError


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """What may be loaded.

    Attributes:
        folder: where the files are.
        records: size and hash of each.
        advice: what to do when something is wrong, the end of a message.
    """

    folder: Path
    records: Mapping[str, FileRecord]
    advice: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: record.bytes for name, record in self.records.items()}

    def path(self, name: str) -> Path:
        """A file, for a library that reads it itself.

        Raises:
            IncompatibleEngineError: the record does not list it.
        """
        if name not in self.records:
            raise IncompatibleEngineError(f"the engine in {self.folder} has no {name} in its record{self.advice}")
        return self.folder / name

    def read(self, name: str) -> bytes:
        """The content of a file, with the hash that the record lists.

        Raises:
            IncompatibleEngineError: the record does not list it, or it was altered.
        """
        path = self.path(name)
        altered = f"the engine file {path} was altered{self.advice}"
        return read_listed(path, self.records[name], IncompatibleEngineError, what="engine file", altered=altered)


def file_problems(folder: Path, records: Mapping[str, FileRecord]) -> Iterator[tuple[str, str]]:
    """Names of an engine's files that are not what its record says, and why, as the end of a sentence.

    Args:
        folder: of the engine.
        records: size and hash of each file.
    """
    for name, expected in records.items():
        if problem := file_problem(folder, name, expected, verify=True, links_out=False):
            yield name, problem
        elif not is_unlinked(folder, folder / name):
            yield name, "is a link"
