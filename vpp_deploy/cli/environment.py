"""What is installed on this machine and what can run here. Looks, changes nothing, and never fails."""

from __future__ import annotations

import os
import platform
import re
import sys
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from vpp_deploy._version import __version__
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.backend import Ability, Backend, Installed, Surroundings, installed_version
from vpp_deploy.engines.onnxruntime.needs import providers as onnxruntime_providers
from vpp_deploy.engines.tensorrt.needs import PluginFile, plugin_files
from vpp_deploy.files import interrupts
from vpp_deploy.machine import Gpu, available_processors, nvidia_gpus, processor_quota

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[\w.-]+)(?:\[.*?\])?\s*(?P<bounds>[^;]*?)\s*"
    r"(?:;(?:.*\bextra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?.*)?"
)
_PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
_LIMIT_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that vpp-deploy can use.

    Attributes:
        name: distribution name; that of the installed one, where several hold the same.
        needs: version bounds, such as `>=1.20`; "" for any.
        extras: extras of vpp-deploy that install it; empty for what is always needed.
        version: the installed version, or None.
    """

    name: str
    needs: str
    extras: tuple[str, ...]
    version: str | None


@dataclass(frozen=True, slots=True)
class Environment:
    """This machine.

    Attributes:
        processors: those that this process may use.
        processor_quota: processors' worth of time that its container allows; None without a limit.
        memory_bytes: main memory, or the limit of this container if that is lower; None if unknown.
        providers: execution providers of the installed ONNX Runtime.
        gpus: NVIDIA GPUs with a driver.
        h264_encoder: whether PyAV can write H.264.
        plugin_files: where `$VPP_DEPLOY_PLUGIN_PATH` says that a plugin library is.
        backends: what each engine can do, by name.
        problems: what should be repaired, one line each, with the remedy.
    """

    vpp_deploy: str
    python: str
    system: str
    processors: int
    processor_quota: float | None
    memory_bytes: int | None
    packages: tuple[Package, ...]
    providers: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    h264_encoder: bool
    plugin_files: tuple[PluginFile, ...]
    backends: dict[str, Ability]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def examine(installed: Installed | None = None) -> Environment:
    """Look at this machine.

    Args:
        installed: where versions come from; None asks the Python environment.
    """
    surroundings = Surroundings(installed or installed_version, nvidia_gpus())
    packages = known_packages(surroundings.installed)
    providers, _ = onnxruntime_providers()
    encoder, broken_video = _h264_encoder()
    problems = [
        _missing(packages),
        *(problem for backend in BACKENDS.values() for problem in backend.problems(surroundings)),
        broken_video,
    ]
    return Environment(
        vpp_deploy=__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        system=platform.platform(),
        processors=available_processors(),
        processor_quota=processor_quota(),
        memory_bytes=_memory_bytes(),
        packages=packages,
        providers=providers,
        gpus=surroundings.gpus,
        h264_encoder=encoder,
        plugin_files=plugin_files(),
        backends={name: ability_of(backend, surroundings) for name, backend in BACKENDS.items()},
        problems=tuple(problem for problem in problems if problem),
    )


def known_packages(installed: Installed) -> tuple[Package, ...]:
    """The requirements of vpp-deploy, as its own metadata lists them, without those for its development."""
    bounds: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for requirement in _requirements():
        if (match := _REQUIREMENT.fullmatch(requirement)) and match["extra"] != "dev":
            bounds.setdefault(match["name"], match["bounds"])
            extras.setdefault(match["name"], []).extend(filter(None, [match["extra"]]))
    found = {name: _found(name, bounds.keys(), installed) for name in bounds}
    return tuple(Package(found[name][0], bounds[name], tuple(extras[name]), found[name][1]) for name in bounds)


def _requirements() -> Iterable[str]:
    """In the form of a distribution's metadata."""
    try:
        yield from metadata.requires("vpp-deploy") or ()
    except metadata.PackageNotFoundError:  # a source tree on the path, not installed
        try:
            project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        except (OSError, ValueError, LookupError):
            return
        yield from project["dependencies"]
        for extra, requirements in project["optional-dependencies"].items():
            for requirement in requirements:
                yield f"{requirement}{' and' if ';' in requirement else ';'} extra == '{extra}'"


def _found(name: str, listed: Collection[str], installed: Installed) -> tuple[str, str | None]:
    """The distribution, or one that holds the same and is not listed itself, as tensorrt-cu13 does for tensorrt."""
    if version := installed(name):
        return name, version
    for backend in BACKENDS.values():
        if name in backend.distributions and (other := backend.distribution(installed)) and other.name not in listed:
            return other
    return name, None


def _missing(packages: tuple[Package, ...]) -> str | None:
    names = [package.name for package in packages if not package.extras and not package.version]
    return (
        f"not installed, but always needed: {', '.join(names)}; run: pip install {' '.join(names)}" if names else None
    )


def ability_of(backend: Backend, surroundings: Surroundings) -> Ability:
    """What a backend can do on a machine. Never fails."""
    try:
        return backend.examine(surroundings)
    except Exception as error:  # a package that it needs does not load, or it is somebody else's backend
        interrupts.let_pass(error)
        reason = f"{type(error).__name__}: {error}"
        return Ability(cannot_build=reason, cannot_run=reason)


def _h264_encoder() -> tuple[bool, str | None]:
    """Whether PyAV can write H.264, and what is wrong if not."""
    try:
        import av
    except (ImportError, OSError) as error:
        return False, f"av does not load ({error}); run: pip install --force-reinstall av"
    if "libx264" in av.codecs_available:
        return True, None
    return False, "this PyAV has no H.264 encoder (libx264), so infer -o cannot write video; run: pip install av"


def _memory_bytes() -> int | None:
    sizes = [int(text) for path in _LIMIT_FILES if (text := _read(path)).isdecimal()]
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not POSIX
        return min(sizes, default=None)
    return min(sizes)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
