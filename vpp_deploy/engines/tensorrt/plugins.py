"""How a TensorRT engine computes the `vpp` ops: with plugins of one form or the other, or without any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vpp_deploy.engines.engine_record import version_numbers
from vpp_deploy.engines.tensorrt import embedded_kernels
from vpp_deploy.engines.tensorrt.plugin_library import PluginLibrary, candidates, library_for_build
from vpp_deploy.errors import UsageError
from vpp_deploy.ops import PluginForm

CHOICES: Final = ("embedded", "library", "none")
_FIRST_WITH_EMBEDDED: Final = (10, 9)
"""The first TensorRT whose quickly deployable plugins can be ahead-of-time."""


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
        wanted: one of `CHOICES`. None: `library` if one is given, else `embedded` where the builder has it, else
            `library` where `$VPP_DEPLOY_PLUGIN_PATH` is set, else `none`.
        library: the library's file, or a folder with `libvpp_plugins.so`.

    Raises:
        UsageError: an unknown choice, one that the builder does not have, or one that contradicts the library.
        PluginError: there is no library, or it is not one, or it is of another version.
    """
    if wanted not in (None, *CHOICES):
        raise UsageError(f"plugins {wanted!r}: use {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    if library and wanted not in (None, "library"):
        raise UsageError(f"plugins {wanted} and the plugin library {library} contradict each other; leave out one")
    embedding = has_embedded(backend, version)
    if wanted == "embedded" and not embedding:
        first = ".".join(map(str, _FIRST_WITH_EMBEDDED))
        raise UsageError(
            f"{backend} {version} has no embedded plugins, tensorrt has them from {first} on; use library or none"
        )
    if wanted is None:
        wanted = "library" if library else "embedded" if embedding else "library" if candidates() else "none"
    match wanted:
        case "library":
            return Plugins("library", library_for_build(library))
        case "embedded":
            return Plugins("embedded")
        case _:
            return NO_PLUGINS


def has_embedded(backend: str, version: str) -> bool:
    """Whether a builder can embed plugins in its engines."""
    return backend == "tensorrt" and version_numbers(version) >= _FIRST_WITH_EMBEDDED
