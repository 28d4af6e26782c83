"""What TensorRT and TensorRT-RTX need on a machine, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.engines.backend import Ability, Backend, Surroundings
from vpp_deploy.engines.cuda_library import DISTRIBUTIONS
from vpp_deploy.engines.tensorrt import RECORDS
from vpp_deploy.engines.tensorrt.plugin_library import PLUGINS
from vpp_deploy.engines.tensorrt.plugins import has_embedded, why_not_embedded
from vpp_deploy.errors import PluginError

_BUILDER = "polygraphy"


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
    for path in PLUGINS.candidates():
        try:
            found.append(PluginFile(str(path), PLUGINS.for_build(path).version, None))
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
    forms = ["embedded"] if found and not _why_not_embedded(surroundings, backend, found.version) else []
    if any(file.version for file in plugin_files()):
        forms.append("library")
    return Ability(
        cannot_build=_missing(record, surroundings, _BUILDER)
        or (no_gpu if record.builds_on == "gpu" and not surroundings.gpus else None),
        cannot_run=_missing(record, surroundings, *DISTRIBUTIONS) or surroundings.no_gpu,
        plugins=tuple(forms),
    )


def problems(surroundings: Surroundings, *, backend: str) -> tuple[str, ...]:
    """What should be repaired on a machine: a TensorRT with plugins that do not work.

    Args:
        surroundings: the machine.
        backend: `tensorrt` or `tensorrt-rtx`.
    """
    found = RECORDS[backend].distribution(surroundings.installed)
    if found is None or not has_embedded(backend, found.version):
        return ()
    why_not = _why_not_embedded(surroundings, backend, found.version)
    return (f"{why_not}; until then use --plugins library or none",) if why_not else ()


def _why_not_embedded(surroundings: Surroundings, backend: str, version: str) -> str | None:
    return why_not_embedded(backend, version, surroundings.installed("numpy"))


def _missing(record: Backend, surroundings: Surroundings, *others: str) -> str | None:
    """What is missing of the backend and of the others, of which one is enough."""
    missing = [] if record.distribution(surroundings.installed) else [record.name]
    missing += [] if any(map(surroundings.installed, others)) else [others[0]]
    return f"{' and '.join(missing)} not installed: {record.install_command}" if missing else None
