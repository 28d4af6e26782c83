"""How a TensorRT engine computes the `vpp` ops: with plugins of one form or the other, or without any."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vpp_deploy.engines.backend import installed_version
from vpp_deploy.engines.tensorrt import embedded_kernels
from vpp_deploy.engines.tensorrt.plugin_library import PLUGINS, PluginLibrary
from vpp_deploy.errors import UsageError
from vpp_deploy.machine import version_numbers
from vpp_deploy.ops import PluginForm

_log = logging.getLogger(__name__)

CHOICES: Final = ("embedded", "library", "none")
_FIRST_WITH_EMBEDDED: Final = (10, 9)
"""The first TensorRT whose quickly deployable plugins can be ahead-of-time."""
_FIRST_WITH_SEVERAL: Final = (10, 15)
"""Earlier ones keep the first plugin's expression builder and use it for the second one's shape, when it is gone."""
_FIRST_WITH_ANY_NUMPY: Final = (11, 2)
"""Earlier ones make a number of an array of one element."""
_FIRST_STRICT_NUMPY: Final = (2, 4)
"""Which refuses that."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins of an engine.

    Attributes:
        form: where their kernels come from; None: there are none, and every op is lowered to standard ONNX.
        library: the shared library, for the form `library`.
    """

    form: PluginForm | None = None
    library: PluginLibrary | None = None

    @property
    def fingerprint(self) -> str:
        """Differs where engines would."""
        match self.form:
            case "library":
                assert self.library is not None
                return f"library, sha256 {self.library.sha256}"
            case "embedded":
                return f"embedded, sha256 {embedded_kernels.digest()}"
            case _:
                return "none"


NO_PLUGINS: Final = Plugins()


def choose(backend: str, version: str, wanted: str | None = None, library: Path | None = None) -> Plugins:
    """The plugins to build an engine with.

    Args:
        backend: `tensorrt` or `tensorrt-rtx`, which has no embedded plugins.
        version: the installed one.
        wanted: one of `CHOICES`. None: `library` if one is given, else `embedded` where the builder has them and they
            work, else `library` where `$VPP_DEPLOY_PLUGIN_PATH` is set, else `none`; if they do not work, that is said.
        library: the library's file, or a folder with `libvpp_plugins.so`.

    Raises:
        UsageError: an unknown choice, one that the builder does not have, or one that contradicts the library.
        PluginError: there is no library, or it is not one, or it is of another version.
    """
    if wanted not in (None, *CHOICES):
        raise UsageError(f"plugins {wanted!r}: use {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    if library and wanted not in (None, "library"):
        raise UsageError(f"plugins {wanted} and the plugin library {library} contradict each other; leave out one")
    why_not = why_not_embedded(backend, version)
    if wanted == "embedded" and why_not:
        raise UsageError(f"{why_not}; or use library or none")
    if wanted is None:
        wanted = "library" if library else "embedded" if not why_not else "library" if PLUGINS.candidates() else "none"
        if why_not and not library and has_embedded(backend, version):
            _log.warning("%s; building with --plugins %s", why_not, wanted)
    match wanted:
        case "library":
            return Plugins("library", PLUGINS.for_build(library))
        case "embedded":
            return Plugins("embedded")
        case _:
            return NO_PLUGINS


def has_embedded(backend: str, version: str) -> bool:
    """Whether a builder can embed plugins in its engines, at least by its documentation."""
    return backend == "tensorrt" and version_numbers(version) >= _FIRST_WITH_EMBEDDED


def why_not_embedded(backend: str, version: str, numpy: str | None = None) -> str | None:
    """Why a builder cannot embed plugins in its engines here, and what helps; None if it can.

    Args:
        backend: `tensorrt` or `tensorrt-rtx`.
        version: the installed one.
        numpy: version of NumPy. None: the installed one.
    """
    numbers, name = version_numbers(version), f"{backend} {version}"
    if not has_embedded(backend, version):
        return f"{name} has no embedded plugins, tensorrt has them from {_text(_FIRST_WITH_EMBEDDED)} on"
    if numbers < _FIRST_WITH_SEVERAL:
        return f"{name} cannot embed more than one plugin: install {_text(_FIRST_WITH_ANY_NUMPY)} or later"
    numpy = numpy or installed_version("numpy") or ""
    if numbers < _FIRST_WITH_ANY_NUMPY and version_numbers(numpy) >= _FIRST_STRICT_NUMPY:
        return (
            f"{name} cannot embed plugins with NumPy {numpy}: install TensorRT {_text(_FIRST_WITH_ANY_NUMPY)} or "
            f"later, or 'numpy<{_text(_FIRST_STRICT_NUMPY)}'"
        )
    return None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
