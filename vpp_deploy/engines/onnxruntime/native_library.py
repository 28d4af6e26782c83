"""The library of native ops (cpp/onnxruntime_ops): finding it, knowing it, and giving it to a session.

An engine that was built with it needs that very library. Everything that can be wrong with that is found by reading the
file, so before it is loaded. A bundle only records a hash: where a library is looked for is up to the user, because
loading one runs its code.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy._version import __version__
from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import IncompatibleEngineError, PluginError
from vpp_deploy.files.reading import read_bytes

LIBRARY_FILE: Final = "libvpp_onnxruntime_ops.so"
PATH_VARIABLE: Final = "VPP_DEPLOY_ONNXRUNTIME_OPS"
"""Environment variable: libraries, or folders that hold `libvpp_onnxruntime_ops.so`, separated as in PATH."""
COMPILE_COMMAND: Final = "cmake -S cpp/onnxruntime_ops -B build/onnxruntime_ops && cmake --build build/onnxruntime_ops"
"""Makes `build/onnxruntime_ops/libvpp_onnxruntime_ops.so` in a source tree of vpp-deploy."""
DETAILS: Final = "native_ops"
"""Where the details of an engine's record name the library."""

_VERSION: Final = re.compile(rb"vpp_onnxruntime_ops_version=([\w.+!-]{1,64})\0")
_MOST_BYTES: Final = 64_000_000
_WITHOUT: Final = "--native-ops none"


class NativeRecord(BaseModel):
    """The library that an engine was built with: file name, hash, and version of vpp-deploy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    version: str


@dataclass(frozen=True, slots=True)
class NativeLibrary:
    """A library of native ops on disk.

    Attributes:
        path: where it is.
        sha256: of its content.
        version: of vpp-deploy, whose ops it implements.
    """

    path: Path
    sha256: str
    version: str

    @classmethod
    def read(cls, path: Path) -> NativeLibrary:
        """Look into a file, without loading it.

        Raises:
            PluginError: it cannot be read or is no such library.
        """
        content = read_bytes(path, PluginError, what="library of native ops", limit=_MOST_BYTES)
        version = _VERSION.search(content)
        if version is None:
            raise PluginError(f"{path} is not a library of native ops of vpp-deploy; make one with: {COMPILE_COMMAND}")
        return cls(path, sha256_of_bytes(content), version[1].decode())

    @property
    def fingerprint(self) -> str:
        """Differs where engines would."""
        return f"sha256 {self.sha256}"

    def to_details(self) -> dict[str, Any]:
        """The entry for the details of an engine's record."""
        return {DETAILS: NativeRecord(file=self.path.name, sha256=self.sha256, version=self.version).model_dump()}


def candidates(given: Path | None = None) -> list[Path]:
    """Where a library is looked for: the file that was given, or else the entries of `$VPP_DEPLOY_ONNXRUNTIME_OPS`."""
    entries = (
        [given] if given else [Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if entry]
    )
    return [path / LIBRARY_FILE if os.path.isdir(path) else path for path in entries]


def library_for_build(given: Path | None = None) -> NativeLibrary | None:
    """The library to build an engine with; None where none is named.

    Args:
        given: its file, or a folder with `libvpp_onnxruntime_ops.so`; None: look in `$VPP_DEPLOY_ONNXRUNTIME_OPS`.

    Raises:
        PluginError: where one is named there is none, or it is not one, or it is of another version.
    """
    paths = candidates(given)
    if not paths:
        return None
    path = next((path for path in paths if os.path.exists(path)), None)
    if path is None:
        raise PluginError(
            f"no library of native ops: {_looked_at(paths)}; make one with: {COMPILE_COMMAND}, or build without one: "
            f"{_WITHOUT}"
        )
    library = NativeLibrary.read(path)
    if library.version != __version__:
        raise PluginError(
            f"the library of native ops {path} is of version {library.version}, this vpp-deploy is {__version__}; "
            f"make it again with: {COMPILE_COMMAND}, or build without one: {_WITHOUT}"
        )
    return library


def library_of_engine(details: Mapping[str, Any], given: Path | None, build_command: str) -> NativeLibrary | None:
    """The library that an engine was built with, found on this machine; None for an engine without native ops.

    Args:
        details: of the engine's record.
        given: where the library is; None: look in `$VPP_DEPLOY_ONNXRUNTIME_OPS`.
        build_command: what builds the engine again.

    Raises:
        IncompatibleEngineError: the record is damaged.
        PluginError: no library was found, or only others.
    """
    if DETAILS not in details:
        return None
    try:
        record = NativeRecord.model_validate(details[DETAILS])
    except ValidationError as error:
        reason = str(error).partition("\n")[0]
        raise IncompatibleEngineError(
            f"the engine's record of native ops is damaged ({reason}); build it again: {build_command}"
        ) from error
    paths = candidates(given)
    found = [NativeLibrary.read(path) for path in paths if os.path.exists(path)]
    for library in found:
        if library.sha256 == record.sha256:
            return library
    needed = f"the engine needs the library of native ops that it was built with, {record.file} {_identity(record)}"
    if not found:
        raise PluginError(
            f"{needed}; {_looked_at(paths)}; say where it is with: export {PATH_VARIABLE}=FOLDER, "
            f"or build an engine without it: {build_command} {_WITHOUT}"
        )
    others = ", ".join(f"{library.path} ({_identity(library)})" for library in found)
    again = f"--native-library {shlex.quote(str(found[0].path))}" if found[0].version == __version__ else _WITHOUT
    raise PluginError(f"{needed}, and found another: {others}; build the engine again: {build_command} {again}")


def _looked_at(paths: list[Path]) -> str:
    if not paths:
        return f"${PATH_VARIABLE} is not set"
    return f"looked at {', '.join(map(str, paths))}"


def _identity(library: NativeLibrary | NativeRecord) -> str:
    return f"version {library.version}, sha256 {library.sha256[:12]}…"
