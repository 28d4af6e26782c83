"""What TensorRT and TensorRT-RTX need on a machine, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.engines.backend import Ability, Backend, Surroundings
from vpp_deploy.engines.tensorrt import RECORDS, TENSORRT
from vpp_deploy.engines.tensorrt.plugin_library import candidates, library_for_build
from vpp_deploy.engines.tensorrt.plugins import has_embedded
from vpp_deploy.errors import PluginError

_BUILDER, _MEMORY = "polygraphy", "pycuda"


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A place where a plugin library is looked for.

    Attributes:
        path: the file.
        version: of the library there; None if there is none that can be used.
        problem: why not; None if it can be used.
    """

    path: str
    version: str | None
    problem: str | None


def plugin_files() -> tuple[PluginFile, ...]:
    """Where `$VPP_DEPLOY_PLUGIN_PATH` says that a plugin library is."""
    found = []
    for path in candidates():
        try:
            found.append(PluginFile(str(path), library_for_build(path).version, None))
        except PluginError as error:
            found.append(PluginFile(str(path), None, str(error)))
    return tuple(found)


def examine(surroundings: Surroundings, *, backend: str) -> Ability:
    """What can be built and run on a machine.

    Args:
        surroundings: the machine.
        backend: `tensorrt` or `tensorrt-rtx`.
    """
    record = RECORDS[backend]
    found = record.distribution(surroundings.installed)
    no_gpu = "it builds for the GPU that it runs on, and there is none here"
    forms = ["embedded"] if found and has_embedded(backend, found.version) else []
    if any(file.version for file in plugin_files()):
        forms.append("library")
    return Ability(
        cannot_build=_missing(record, surroundings, _BUILDER)
        or (no_gpu if record.builds_on == "gpu" and not surroundings.gpus else None),
        cannot_run=_missing(record, surroundings, _MEMORY) or surroundings.no_gpu,
        plugins=tuple(forms),
    )


def _missing(record: Backend, surroundings: Surroundings, other: str) -> str | None:
    missing = [] if record.distribution(surroundings.installed) else [record.name]
    missing += [] if surroundings.installed(other) else [other]
    if not missing:
        return None
    install = TENSORRT if missing == [_MEMORY] else record  # the only extra that has it
    return f"{' and '.join(missing)} not installed: {install.install_command}"
