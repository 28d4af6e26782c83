"""The CUDA plugin library of TensorRT engines: finding it, knowing it, and loading it into TensorRT.

An engine with plugins needs the very library that it was built with. Everything that can be wrong with that is found by
reading the file, so before the library or TensorRT is loaded. A bundle only records a hash: where a library is looked
for is up to the user, because loading one runs its code.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy._version import __version__
from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.engines.cuda_library import CudaVersion, driver_cuda
from vpp_deploy.errors import IncompatibleEngineError, PluginError

LIBRARY_FILE: Final = "libvpp_plugins.so"
PATH_VARIABLE: Final = "VPP_DEPLOY_PLUGIN_PATH"
"""Environment variable: plugin libraries, or folders that hold `libvpp_plugins.so`, separated as in PATH."""
COMPILE_COMMAND: Final = (
    "cmake -S plugins -B build/plugins -DTENSORRT_INCLUDE_DIR=FOLDER && "
    "cmake --build build/plugins --target vpp_plugins"
)
"""Makes `build/plugins/libvpp_plugins.so` in a source tree of vpp-deploy; FOLDER holds TensorRT's headers."""

_DETAILS: Final = "plugins"
_VERSION: Final = re.compile(rb"vpp_plugins_version=([\w.+!-]{1,64})\0")
_CUDA: Final = re.compile(rb"vpp_plugins_cuda=(\d{4,6})\0")

_loaded: dict[str, str] = {}
"""Hash of the library that is in a backend's plugin registry; it stays there until the process ends."""
_loading = Lock()


class PluginRecord(BaseModel):
    """The plugin library that an engine was built with: file name, hash, and version of vpp-deploy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    version: str

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> PluginRecord | None:
        """What the details of an engine's record say; None for an engine without plugins.

        Raises:
            ValidationError: the entry is damaged.
        """
        return cls.model_validate(details[_DETAILS]) if _DETAILS in details else None

    def to_details(self) -> dict[str, Any]:
        """The entry for the details of an engine's record."""
        return {_DETAILS: self.model_dump()}


@dataclass(frozen=True, slots=True)
class PluginLibrary:
    """A plugin library on disk.

    Attributes:
        path: where it is.
        sha256: of its content.
        version: of vpp-deploy, whose ops it implements.
        cuda: the CUDA that it was made with; None if it does not say.
    """

    path: Path
    sha256: str
    version: str
    cuda: CudaVersion | None = None

    @classmethod
    def read(cls, path: Path) -> PluginLibrary:
        """Look into a file, without loading it.

        Raises:
            PluginError: it cannot be read or is no plugin library.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PluginError(
                f"plugin library {path} cannot be read ({error.strerror or error}); make one with: {COMPILE_COMMAND}"
            ) from error
        version = _VERSION.search(content)
        if not content.startswith(b"\x7fELF") or version is None:
            raise PluginError(f"{path} is not a plugin library of vpp-deploy; make one with: {COMPILE_COMMAND}")
        cuda = _CUDA.search(content)
        made_with = CudaVersion.of(int(cuda[1])) if cuda else None
        return cls(path, sha256_of_bytes(content), version[1].decode(), made_with)

    @property
    def record(self) -> PluginRecord:
        """What an engine built with it records."""
        return PluginRecord(file=self.path.name, sha256=self.sha256, version=self.version)


def candidates(given: Path | None = None) -> list[Path]:
    """Where a library is looked for: the file that was given, or else the entries of `$VPP_DEPLOY_PLUGIN_PATH`."""
    entries = (
        [given] if given else [Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if entry]
    )
    return [path / LIBRARY_FILE if path.is_dir() else path for path in entries]


def library_for_build(given: Path | None) -> PluginLibrary:
    """The library to build an engine with.

    Args:
        given: its file, or a folder with `libvpp_plugins.so`; None: look in `$VPP_DEPLOY_PLUGIN_PATH`.

    Raises:
        PluginError: there is no library, or it is not one, or it is of another version.
    """
    paths = candidates(given)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise PluginError(
            f"no plugin library: {_looked_at(paths)}; make one with: {COMPILE_COMMAND}, and give it with "
            "--plugin-library build/plugins, or build without one: --plugins none"
        )
    library = PluginLibrary.read(path)
    if library.version != __version__:
        raise PluginError(
            f"plugin library {path} is of version {library.version}, this vpp-deploy is {__version__}; "
            f"make it again with: {COMPILE_COMMAND}, or build without one: --plugins none"
        )
    return library


def library_of_engine(details: Mapping[str, Any], given: Path | None, build_command: str) -> PluginLibrary | None:
    """The library that an engine was built with, found on this machine; None for an engine without plugins.

    Args:
        details: of the engine's record.
        given: where the library is; None: look in `$VPP_DEPLOY_PLUGIN_PATH`.
        build_command: what builds the engine again.

    Raises:
        IncompatibleEngineError: the record is damaged.
        PluginError: no library was found, or only others.
    """
    try:
        record = PluginRecord.of(details)
    except ValidationError as error:
        reason = str(error).partition("\n")[0]
        raise IncompatibleEngineError(f"the engine's plugin record is damaged ({reason}): {build_command}") from error
    if record is None:
        return None
    paths = candidates(given)
    found = [PluginLibrary.read(path) for path in paths if path.is_file()]
    for library in found:
        if library.sha256 == record.sha256:
            return library
    needed = f"the engine needs the plugin library that it was built with, {record.file} {_identity(record)}"
    if not found:
        raise PluginError(
            f"{needed}; {_looked_at(paths)}; say where it is with: export {PATH_VARIABLE}=FOLDER, "
            f"or build an engine without it: {build_command} --plugins none"
        )
    others = ", ".join(f"{library.path} ({_identity(library)})" for library in found)
    again = (
        f"--plugin-library {shlex.quote(str(found[0].path))}" if found[0].version == __version__ else "--plugins none"
    )
    raise PluginError(f"{needed}, and found another: {others}; build the engine again: {build_command} {again}")


def load_into(trt: Any, backend: str, library: PluginLibrary) -> None:
    """Load a library and register its plugins with TensorRT, once in a process.

    Args:
        trt: the package `tensorrt` or `tensorrt_rtx`.
        backend: which of the two; each has a registry of its own.
        library: to load.

    Raises:
        PluginError: it was made with a newer CUDA than the driver knows, it does not load, or other plugins of these
            names are registered.
    """
    with _loading:
        if _loaded.get(backend) == library.sha256:
            return
        _check_driver(library)
        try:
            ctypes.CDLL(str(library.path.absolute()))
        except OSError as error:
            raise PluginError(
                f"plugin library {library.path} does not load ({error}); make it on this machine: {COMPILE_COMMAND}"
            ) from error
        if trt.get_plugin_registry().load_library(str(library.path.absolute())) is None:
            raise PluginError(
                f"{backend} does not take the plugin library {library.path}: this process has another one already; "
                "use one process for each"
            )
        _loaded[backend] = library.sha256


def _check_driver(library: PluginLibrary) -> None:
    """Otherwise the first frame fails. Within a major version it does not (CUDA's minor version compatibility)."""
    known = driver_cuda()
    if library.cuda and known and library.cuda.major > known.major:
        raise PluginError(
            f"plugin library {library.path} was made with CUDA {library.cuda}, but the driver here knows CUDA {known} "
            f"at most: update the driver, or make it again with CUDA {known.major}: {COMPILE_COMMAND}"
        )


def _looked_at(paths: list[Path]) -> str:
    if not paths:
        return f"${PATH_VARIABLE} is not set"
    return f"looked at {', '.join(map(str, paths))}"


def _identity(library: PluginLibrary | PluginRecord) -> str:
    return f"version {library.version}, sha256 {library.sha256[:12]}…"
