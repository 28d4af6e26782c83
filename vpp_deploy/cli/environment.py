"""What is installed on this machine and what can run here. Looks, changes nothing, and never fails."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from vpp_deploy._version import __version__
from vpp_deploy.errors import PluginError
from vpp_deploy.gpus import Gpu, nvidia_gpus
from vpp_deploy.processors import available_processors

Installed = Callable[[str], str | None]
"""Gives the version of an installed distribution, or None."""

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[\w.-]+)(?:\[.*?\])?\s*(?P<bounds>[^;]*?)\s*"
    r"(?:;(?:.*\bextra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?.*)?"
)
_BUILDERS: Final = {"tensorrt-rtx": "rtx", "tensorrt": "tensorrt"}
_CUDA: Final = "CUDAExecutionProvider"
_LIMIT_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that vpp-deploy can use.

    Attributes:
        name: distribution name.
        needs: version bounds, such as `>=1.20`; "" for any.
        extras: extras of vpp-deploy that install it; empty for what is always needed.
        version: the installed version, or None.
    """

    name: str
    needs: str
    extras: tuple[str, ...]
    version: str | None


@dataclass(frozen=True, slots=True)
class Backend:
    """What an engine can do on this machine; a reason is None where there is nothing in the way.

    Attributes:
        cannot_build: why none can be built.
        cannot_run: why none can be run.
        plugins: forms of plugins that it can be built with here.
    """

    cannot_build: str | None
    cannot_run: str | None
    plugins: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Environment:
    """This machine.

    Attributes:
        processors: those that this process may use.
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
    memory_bytes: int | None
    packages: tuple[Package, ...]
    providers: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    h264_encoder: bool
    plugin_files: tuple[PluginFile, ...]
    backends: dict[str, Backend]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def examine(installed: Installed | None = None) -> Environment:
    """Look at this machine.

    Args:
        installed: where versions come from; None asks the Python environment.
    """
    packages = known_packages(installed or installed_version)
    gpus = nvidia_gpus()
    providers, broken_runtime = _providers()
    plugin_files = () if broken_runtime else _plugin_files()
    encoder, broken_video = _h264_encoder()
    conflicts = [problem for problem in (_missing(packages), _two_runtimes(packages)) if problem]
    return Environment(
        vpp_deploy=__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        system=platform.platform(),
        processors=available_processors(),
        memory_bytes=_memory_bytes(),
        packages=packages,
        providers=providers,
        gpus=gpus,
        h264_encoder=encoder,
        plugin_files=plugin_files,
        backends=_backends(packages, gpus, providers, plugin_files, broken_runtime),
        problems=(*conflicts, *(problem for problem in (broken_runtime, broken_video) if problem)),
    )


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def known_packages(installed: Installed) -> tuple[Package, ...]:
    """The requirements of vpp-deploy, as its own metadata lists them, without those for its development."""
    bounds: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("vpp-deploy") or []
    except metadata.PackageNotFoundError:  # a source tree on the path, not installed
        requirements = []
    for requirement in requirements:
        if (match := _REQUIREMENT.fullmatch(requirement)) and match["extra"] != "dev":
            bounds.setdefault(match["name"], match["bounds"])
            extras.setdefault(match["name"], []).extend(filter(None, [match["extra"]]))
    return tuple(Package(name, needs, tuple(extras[name]), installed(name)) for name, needs in bounds.items())


def _missing(packages: tuple[Package, ...]) -> str | None:
    has_runtime = any(package.version for package in packages if package.name.startswith("onnxruntime"))
    names = [
        package.name
        for package in packages
        if not package.extras and not package.version and not (package.name == "onnxruntime" and has_runtime)
    ]
    return (
        f"not installed, but always needed: {', '.join(names)}; run: pip install {' '.join(names)}" if names else None
    )


def _two_runtimes(packages: tuple[Package, ...]) -> str | None:
    runtimes = [p.name for p in packages if p.name in ("onnxruntime", "onnxruntime-gpu") and p.version]
    if len(runtimes) < 2:
        return None
    return (
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; run: "
        "pip uninstall -y onnxruntime onnxruntime-gpu, then: pip install onnxruntime (or onnxruntime-gpu, with CUDA)"
    )


def _backends(
    packages: tuple[Package, ...],
    gpus: tuple[Gpu, ...],
    providers: tuple[str, ...],
    plugin_files: tuple[PluginFile, ...],
    broken_runtime: str | None,
) -> dict[str, Backend]:
    no_gpu = None if gpus else "there is no NVIDIA GPU with a driver here (nvidia-smi finds none)"
    no_provider = (
        None
        if _CUDA in providers
        else "this ONNX Runtime has no CUDA provider: pip uninstall onnxruntime, "
        + ("then pip install vpp-deploy[gpu]")
    )
    library = ("library",) if any(file.version for file in plugin_files) else ()
    backends = {
        "onnxruntime": Backend(broken_runtime, broken_runtime),
        "onnxruntime-cuda": Backend(broken_runtime, broken_runtime or no_provider or no_gpu),
    }
    versions = {package.name: package.version or "" for package in packages}
    for name, extra in _BUILDERS.items():
        builder, runner = (_missing_of(versions, extra, (name, other)) for other in ("polygraphy", "pycuda"))
        needs_gpu = name == "tensorrt" and not gpus
        backends[name] = Backend(
            builder or ("it builds for the GPU that it runs on, and there is none here" if needs_gpu else None),
            runner or no_gpu,
            library if broken_runtime else (*_embedded(name, versions.get(name, "")), *library),
        )
    return backends


def _missing_of(versions: dict[str, str], extra: str, names: tuple[str, ...]) -> str | None:
    missing = [name for name in names if not versions.get(name)]
    if not missing:
        return None
    extra = "tensorrt" if missing == ["pycuda"] else extra  # the only one that has it
    return f"{' and '.join(missing)} not installed: pip install vpp-deploy[{extra}]"


def _embedded(backend: str, version: str) -> tuple[str, ...]:
    from vpp_deploy.engines.plugins import has_embedded  # does not load without ONNX Runtime

    return ("embedded",) if has_embedded(backend, version) else ()


def _plugin_files() -> tuple[PluginFile, ...]:
    from vpp_deploy.engines.plugin_library import candidates, library_for_build  # nor does this

    found = []
    for path in candidates():
        try:
            found.append(PluginFile(str(path), library_for_build(path).version, None))
        except PluginError as error:
            found.append(PluginFile(str(path), None, str(error)))
    return tuple(found)


def _providers() -> tuple[tuple[str, ...], str | None]:
    """The execution providers, and why ONNX Runtime does not load if it does not."""
    try:
        import onnxruntime

        return tuple(onnxruntime.get_available_providers()), None
    except (ImportError, OSError, AttributeError) as error:
        return (), f"onnxruntime does not load ({error}); run: pip install --force-reinstall onnxruntime"


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
