"""The CUDA plugin library of TensorRT engines, and loading it into TensorRT."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.engines.cuda_library import CudaVersion, driver_cuda
from vpp_deploy.engines.op_library import LibraryKind, OpLibrary
from vpp_deploy.errors import PluginError
from vpp_deploy.files.reading import read_bytes

LIBRARY_FILE: Final = "libvpp_plugins.so"
PATH_VARIABLE: Final = "VPP_DEPLOY_PLUGIN_PATH"
"""Environment variable: plugin libraries, or folders that hold `libvpp_plugins.so`, separated as in PATH."""
COMPILE_COMMAND: Final = (
    "cmake -S plugins -B build/plugins -DTENSORRT_INCLUDE_DIR=FOLDER && "
    "cmake --build build/plugins --target vpp_plugins"
)
"""Makes `build/plugins/libvpp_plugins.so` in a source tree of vpp-deploy; FOLDER holds TensorRT's headers."""

_MOST_BYTES: Final = 1_000_000_000
_VERSION: Final = re.compile(rb"vpp_plugins_version=([\w.+!-]{1,64})\0")
_CUDA: Final = re.compile(rb"vpp_plugins_cuda=(\d{4,6})\0")

_loaded: dict[str, str] = {}
"""Hash of the library that is in a backend's plugin registry; it stays there until the process ends."""
_loading = Lock()


@dataclass(frozen=True, slots=True)
class PluginLibrary(OpLibrary):
    """A plugin library on disk.

    Attributes:
        cuda: the CUDA that it was made with; None if it does not say.
    """

    cuda: CudaVersion | None = None

    @classmethod
    def read(cls, path: Path) -> PluginLibrary:
        """Look into a file, without loading it.

        Raises:
            PluginError: it cannot be read or is no plugin library.
        """
        content = read_bytes(path, PluginError, what="plugin library", limit=_MOST_BYTES)
        version = _VERSION.search(content)
        if not content.startswith(b"\x7fELF") or version is None:
            raise PluginError(f"{path} is not a plugin library of vpp-deploy; make one with: {COMPILE_COMMAND}")
        cuda = _CUDA.search(content)
        made_with = CudaVersion.of(int(cuda[1])) if cuda else None
        return cls(path, sha256_of_bytes(content), version[1].decode(), made_with)


PLUGINS: Final = LibraryKind(
    what="plugin library",
    file=LIBRARY_FILE,
    variable=PATH_VARIABLE,
    compile_command=COMPILE_COMMAND,
    folder="build/plugins",
    option="--plugin-library",
    without="--plugins none",
    details="plugins",
    read=PluginLibrary.read,
)


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
