"""A library of compiled ops: finding it, and knowing it.

An engine that was built with one needs that very library. Everything that can be wrong with that is found by reading
the file, so before it is loaded. A bundle only records a hash: where a library is looked for is up to the user, because
loading one runs its code.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy._version import __version__
from vpp_deploy.errors import IncompatibleEngineError, PluginError


class LibraryRecord(BaseModel):
    """The library that an engine was built with: file name, hash, and version of vpp-deploy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    version: str


@dataclass(frozen=True, slots=True)
class OpLibrary:
    """A library on disk.

    Attributes:
        path: where it is.
        sha256: of its content.
        version: of vpp-deploy, whose ops it implements.
    """

    path: Path
    sha256: str
    version: str

    @property
    def record(self) -> LibraryRecord:
        """What an engine built with it records."""
        return LibraryRecord(file=self.path.name, sha256=self.sha256, version=self.version)


Library = TypeVar("Library", bound=OpLibrary)


@dataclass(frozen=True, kw_only=True)
class LibraryKind(Generic[Library]):
    """Libraries that one backend takes.

    Attributes:
        what: they are, for messages.
        file: the name of one in a folder.
        variable: environment variable: libraries, or folders that hold one, separated as in PATH.
        compile_command: makes one in a source tree of vpp-deploy.
        folder: where it is then.
        option: of `build-engine`, takes one.
        without: the option that does without.
        details: where the details of an engine's record name one.
        read: looks into a file, without loading it; raises `PluginError` if it is none.
    """

    what: str
    file: str
    variable: str
    compile_command: str
    folder: str
    option: str
    without: str
    details: str
    read: Callable[[Path], Library]

    def candidates(self, given: Path | None = None) -> list[Path]:
        """Where one is looked for: the file or folder that was given, or else the entries of the variable."""
        named = [Path(entry) for entry in os.environ.get(self.variable, "").split(os.pathsep) if entry]
        return [path / self.file if os.path.isdir(path) else path for path in ([given] if given else named)]

    def for_build(self, given: Path | None = None) -> Library:
        """The library to build an engine with.

        Args:
            given: its file, or a folder with it; None: look where the variable says.

        Raises:
            PluginError: there is no library, or it is not one, or it is of another version.
        """
        paths = self.candidates(given)
        path = next(filter(os.path.exists, paths), None)
        if path is None:
            raise PluginError(
                f"no {self.what}: {self._looked_at(paths)}; make one with: {self.compile_command}, and give it with "
                f"{self.option} {self.folder}, or build without one: {self.without}"
            )
        library = self.read(path)
        if library.version != __version__:
            raise PluginError(
                f"the {self.what} {path} is of version {library.version}, this vpp-deploy is {__version__}; make it "
                f"again with: {self.compile_command}, or build without one: {self.without}"
            )
        return library

    def to_details(self, library: Library) -> dict[str, Any]:
        """The entry for the details of an engine's record."""
        return {self.details: library.record.model_dump()}

    def of_engine(self, details: Mapping[str, Any], given: Path | None, build_command: str) -> Library | None:
        """The library that an engine was built with, found on this machine; None for an engine without one.

        Args:
            details: of the engine's record.
            given: where the library is; None: look where the variable says.
            build_command: what builds the engine again.

        Raises:
            IncompatibleEngineError: the record is damaged.
            PluginError: no library was found, or only others.
        """
        if self.details not in details:
            return None
        try:
            record = LibraryRecord.model_validate(details[self.details])
        except ValidationError as error:
            reason = str(error).partition("\n")[0]
            raise IncompatibleEngineError(
                f"the engine's record of its {self.what} is damaged ({reason}); build it again: {build_command}"
            ) from error
        paths = self.candidates(given)
        found = [self.read(path) for path in paths if os.path.exists(path)]
        for library in found:
            if library.sha256 == record.sha256:
                return library
        needed = f"the engine needs the {self.what} that it was built with, {record.file} {_identity(record)}"
        if not found:
            raise PluginError(
                f"{needed}; {self._looked_at(paths)}; say where it is with: export {self.variable}=FOLDER, "
                f"or build an engine without it: {build_command} {self.without}"
            )
        others = ", ".join(f"{library.path} ({_identity(library)})" for library in found)
        fits = found[0].version == __version__
        again = f"{self.option} {shlex.quote(str(found[0].path))}" if fits else self.without
        raise PluginError(f"{needed}, and found another: {others}; build the engine again: {build_command} {again}")

    def _looked_at(self, paths: list[Path]) -> str:
        return f"looked at {', '.join(map(str, paths))}" if paths else f"${self.variable} is not set"


def _identity(library: OpLibrary | LibraryRecord) -> str:
    return f"version {library.version}, sha256 {library.sha256[:12]}…"
