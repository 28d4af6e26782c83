"""Kernels that TensorRT-RTX has compiled for this GPU, kept on disk: the next start need not compile them again.

Not yet run on a GPU: written against the documented API. The file is the machine's, not the bundle's, which may be
read-only or a stranger's: no engine file is read that a record does not list.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

from vpp_deploy.errors import VppDeployError
from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.reading import read_bytes

_log = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "VPP_DEPLOY_CACHE"
"""Environment variable: the folder of what can be made again. Empty: keep nothing."""
_LARGEST: Final = 2**30


def cache_file(engine_hashes: Iterable[str]) -> Path | None:
    """Where the kernels of an engine belong.

    Args:
        engine_hashes: SHA-256 of each of the engine's files.

    Returns:
        A file that need not exist; None if the user wants none, or has no home.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    try:
        folder = Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vpp-deploy")
    except RuntimeError:  # of Path.home
        return None
    name = sha256("\n".join(sorted(engine_hashes)).encode()).hexdigest()
    return folder / "tensorrt-rtx" / f"{name[:32]}.cache"


class RuntimeCache:
    """The kernels of an engine's graphs. Thread-safe.

    A file that TensorRT-RTX does not take (another GPU, driver or version) counts as none. One that cannot be read or
    written is said in the log, and only costs time.

    Args:
        path: where they are kept; see `cache_file`.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._cache: Any = None
        self._stored = b""

    def attach(self, config: Any) -> None:
        """Have a context that is made with this configuration (`IRuntimeConfig`) use the kernels, and add its own."""
        with self._lock:
            if self._cache is None:
                self._cache = config.create_runtime_cache()
                self._load()
            config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the file, if there is something new. Those of static shapes are compiled when a context is made."""
        with self._lock:
            content = bytes(memoryview(self._cache.serialize()))
            if content == self._stored:
                return
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(self._path) as file:
                    file.write(content)
            except OSError as error:
                _log.info("compiled kernels are not kept: %s: %s", self._path, error.strerror or error)
                return
            self._stored = content

    def _load(self) -> None:
        if not self._path.exists():
            return
        try:
            content = read_bytes(self._path, VppDeployError, what="compiled kernels", limit=_LARGEST)
        except VppDeployError as error:
            _log.info("%s", error)
            return
        if self._cache.deserialize(content):
            self._stored = content
        else:
            _log.info("compiled kernels in %s are not for this GPU, driver and version: compiling anew", self._path)
