"""The library of native ops (cpp/onnxruntime_ops)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.engines.op_library import LibraryKind, OpLibrary
from vpp_deploy.errors import PluginError
from vpp_deploy.files.reading import read_bytes

LIBRARY_FILE: Final = "libvpp_onnxruntime_ops.so"
PATH_VARIABLE: Final = "VPP_DEPLOY_ONNXRUNTIME_OPS"
"""Environment variable: libraries, or folders that hold `libvpp_onnxruntime_ops.so`, separated as in PATH."""
COMPILE_COMMAND: Final = "cmake -S cpp/onnxruntime_ops -B build/onnxruntime_ops && cmake --build build/onnxruntime_ops"
"""Makes `build/onnxruntime_ops/libvpp_onnxruntime_ops.so` in a source tree of vpp-deploy."""

_VERSION: Final = re.compile(rb"vpp_onnxruntime_ops_version=([\w.+!-]{1,64})\0")
_MOST_BYTES: Final = 64_000_000


@dataclass(frozen=True, slots=True)
class NativeLibrary(OpLibrary):
    """A library of native ops on disk."""

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


NATIVE_OPS: Final = LibraryKind(
    what="library of native ops",
    file=LIBRARY_FILE,
    variable=PATH_VARIABLE,
    compile_command=COMPILE_COMMAND,
    folder="build/onnxruntime_ops",
    option="--native-library",
    without="--native-ops none",
    details="native_ops",
    read=NativeLibrary.read,
)
