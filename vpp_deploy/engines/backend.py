"""What a backend is: the record that everything above asks, and what it is asked about a machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from vpp_deploy.errors import DependencyError
from vpp_deploy.machine import Gpu
from vpp_deploy.options import NoOptions

if TYPE_CHECKING:  # for the types alone: a record is imported wherever backends are listed
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines.engine_record import EngineRecord
    from vpp_deploy.engines.protocols import Engine

Installed = Callable[[str], str | None]
"""Gives the version of an installed distribution, or None."""

BuildProgress = Callable[[str, float], None]
"""Gets the builder's name of a step, and the share of it that is done, in [0, 1]."""


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


class Distribution(NamedTuple):
    """An installed distribution: its name and its version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a backend is told of a machine; whatever else it wants to know, it looks up itself.

    Attributes:
        installed: gives the version of a distribution that is installed there.
        gpus: its NVIDIA GPUs with a driver.
    """

    installed: Installed
    gpus: tuple[Gpu, ...]

    @property
    def no_gpu(self) -> str | None:
        """Why nothing can run on a GPU here; None if there is one."""
        return None if self.gpus else "there is no NVIDIA GPU with a driver here (nvidia-smi finds none)"


@dataclass(frozen=True, slots=True)
class Ability:
    """What a backend can do on a machine; a reason is None where there is nothing in the way.

    Attributes:
        cannot_build: why no engine can be built.
        cannot_run: why none can be run.
        plugins: forms of plugins for the `vpp` ops that engines can be built with here.
    """

    cannot_build: str | None = None
    cannot_run: str | None = None
    plugins: tuple[str, ...] = ()


class Build(Protocol):
    """A build that has been decided on: nothing is missing that can be known beforehand."""

    @property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built."""
        ...

    def run(self, progress: BuildProgress) -> None:
        """Build, and store the engine in the bundle.

        Raises:
            DependencyError, DeviceError, PluginError, BuildError, UsageError, OutputError: see `build_engine`.
        """
        ...


def _can_do_all(surroundings: Surroundings) -> Ability:
    return Ability()


def _no_advice(record: EngineRecord, given: Mapping[str, Any]) -> str | None:
    return None


def _no_problems(surroundings: Surroundings) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A library that builds engines from a bundle's graphs and runs them.

    The record is imported wherever backends are listed, so it must be cheap: what needs the library is imported when it
    is called (`vpp_deploy.registry.lazy`).

    Attributes:
        name: as on the command line and in bundles, e.g. `tensorrt-rtx`.
        title: as people write it, e.g. `TensorRT-RTX`.
        extra: the extra of vpp-deploy that installs it; None if vpp-deploy always does.
        distributions: on the package index, what offers `module`. The first one that is installed tells the version;
            the first one of all is what vpp-deploy asks for.
        module: the importable package.
        builds_on: where engines are built: `gpu` if a GPU must be there, and the engine is for that one.
        runs_on: where engines run.
        lacks: precisions of bundles that it has no kernels for.
        build_options: a dataclass of what a build can be asked for, see `vpp_deploy.options`.
        load_options: the same for loading. A field of both is given once, to the build.
        examine: what can be built and run on a machine. Never fails.
        problems: what should be repaired on a machine, one line each, with the remedy. Never fails.
        advice: how the next build of an engine could be a better one, in one line, from its record and the options that
            the build was given; None if it could not.
        prepare: decides on a build: `(bundle, build options) -> Build`.
        load: loads an engine that the bundle has: `(bundle, load options) -> Engine`.
    """

    name: str
    title: str
    extra: str | None
    distributions: tuple[str, ...]
    module: str
    builds_on: Literal["cpu", "gpu"] = "cpu"
    runs_on: Literal["cpu", "gpu"]
    lacks: frozenset[str] = frozenset()
    build_options: type = NoOptions
    load_options: type = NoOptions
    examine: Callable[[Surroundings], Ability] = _can_do_all
    problems: Callable[[Surroundings], Sequence[str]] = _no_problems
    advice: Callable[[EngineRecord, Mapping[str, Any]], str | None] = _no_advice
    prepare: Callable[[Bundle, Any], Build]
    load: Callable[[Bundle, Any], Engine]

    @property
    def install_command(self) -> str:
        """The command that installs it."""
        return f"pip install vpp-deploy[{self.extra}]" if self.extra else "pip install vpp-deploy"

    def distribution(self, installed: Installed = installed_version) -> Distribution | None:
        """The first of its distributions that is installed; None if there is none.

        Args:
            installed: gives versions. For this machine's own, distributions of other names that hold the same module
                (`onnxruntime-openvino`) are found too.
        """
        names = list(self.distributions)
        if installed is installed_version and not any(map(installed, names)) and _importable(self.module):
            names += metadata.packages_distributions().get(self.module, ())
        found = ((name, installed(name)) for name in names)
        return next((Distribution(name, version) for name, version in found if version), None)

    def version(self) -> str | None:
        """The installed version; None if it is not installed."""
        found = self.distribution()
        return found.version if found else None

    def required_version(self) -> str:
        """The installed version.

        Raises:
            DependencyError: it is not installed.
        """
        if (found := self.distribution()) is None:
            raise DependencyError(f"{self.name} is not installed; install it with: {self.install_command}")
        return found.version


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # its parent does not load, or it is None in `sys.modules`
        return False
