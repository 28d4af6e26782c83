"""Backends that build and run engines; nothing here needs PyTorch.

`BACKENDS` names them. A backend's library is loaded when one of its engines is built or loaded, so listing backends
costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from vpp_deploy.arguments import checked
from vpp_deploy.engines.backend import Ability, Backend, BuildProgress, Surroundings
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions
from vpp_deploy.errors import UsageError
from vpp_deploy.options import make_options
from vpp_deploy.registry import Registry

if TYPE_CHECKING:
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines.fingerprint import Part
    from vpp_deploy.engines.protocols import Engine

BACKENDS: Final[Registry[Backend]] = Registry(
    "backend",
    {
        "onnxruntime": "vpp_deploy.engines.onnxruntime:BACKEND",
        "onnxruntime-cuda": "vpp_deploy.engines.onnxruntime_cuda:BACKEND",
        "openvino": "vpp_deploy.engines.openvino:BACKEND",
        "tensorrt-rtx": "vpp_deploy.engines.tensorrt:TENSORRT_RTX",
        "tensorrt": "vpp_deploy.engines.tensorrt:TENSORRT",
    },
    Backend,
)


def backends_for(precision: str) -> list[str]:
    """The backends that compute in a precision, by name."""
    return [name for name, backend in BACKENDS.items() if precision not in backend.lacks]


@checked
def build_engine(
    bundle: Bundle,
    backend: str = "onnxruntime",
    options: Any = None,
    *,
    force: bool = False,
    looked_up: Callable[[Sequence[Part]], None] = lambda parts: None,
    progress: BuildProgress = lambda step, share: None,
    **named_options: Any,
) -> Engine:
    """Build an engine from a bundle's graphs, store it in the bundle, and load it.

    An engine that the bundle has already, of the same graphs, versions and options, is left as it is.

    Args:
        bundle: an open bundle.
        backend: a name in `BACKENDS`.
        options: of the backend's `build_options`, e.g. `TensorRtBuildOptions`; None takes the defaults.
        force: build in any case.
        looked_up: called with what agrees and what does not with the engine that the bundle has.
        progress: called with the name of a step and the share of it that is done (`tensorrt` and `tensorrt-rtx` only).
        named_options: the same options one by one, e.g. `tf32=True`; they come before those in `options`.

    Raises:
        UsageError: unknown backend, or options for one that does not take them.
        DependencyError: the backend's package is not installed.
        DeviceError: the backend needs a GPU to build and there is none.
        PluginError: the library of plugins or native ops is missing, of another version, or does not load.
        BuildError: the backend refuses a graph.
        OutputError: the bundle cannot be written to.
    """
    from vpp_deploy.bundle.reader import check_open  # not above: a list of backends needs neither this nor ONNX
    from vpp_deploy.engines.fingerprint import look_up

    check_open(bundle)
    record = BACKENDS.find(backend, "engine")
    chosen = _build_options(record, options, named_options)
    record.required_version()
    build = record.prepare(bundle, chosen)
    parts = look_up(bundle, build.wanted)
    looked_up(parts)
    if force or not all(part.hit for part in parts):
        build.run(progress)
    shared = _names(record.load_options) & _names(record.build_options)
    return record.load(bundle, record.load_options(**{name: getattr(chosen, name) for name in shared}))


@checked
def load_engine(bundle: Bundle, backend: str = "onnxruntime", **named_options: Any) -> Engine:
    """Load an engine that `build_engine` stored in the bundle.

    Args:
        bundle: an open bundle.
        backend: a name in `BACKENDS`.
        named_options: of the backend's `load_options`: `threads` (`onnxruntime`, `openvino`: threads per frame; all
            processors if it is not given), `device` (`openvino`: as OpenVINO names it; `CPU` if it is not given) and
            `plugin_library` (`tensorrt` and `tensorrt-rtx`: file or folder of the plugin library that the engine was
            built with; `$VPP_DEPLOY_PLUGIN_PATH` if it is not given), `native_library` (`onnxruntime`: the same of its
            library of native ops; `$VPP_DEPLOY_ONNXRUNTIME_OPS` if it is not given). None is as good as not given, and
            an option of other backends is left aside, so that one call serves all.

    Raises:
        UsageError: unknown backend, or an option that no backend has.
        DependencyError: the backend's package is not installed.
        IncompatibleEngineError: there is no such engine, or it does not fit the bundle, the version or the machine.
        PluginError: the library of plugins or native ops that the engine was built with was not found.
        DeviceError: the backend's device is not there.
    """
    from vpp_deploy.bundle.reader import check_open

    check_open(bundle)
    record = BACKENDS.find(backend, "engine")
    others = set().union(*(_names(other.load_options) for other in BACKENDS.values())) - _names(record.load_options)
    given = {name: value for name, value in named_options.items() if value is not None and name not in others}
    chosen: Any = make_options(record.load_options, given, record.name)
    record.required_version()
    return record.load(bundle, chosen)


def _build_options(record: Backend, options: Any, named: dict[str, Any]) -> Any:
    """One object of the record's options.

    Raises:
        UsageError: they are for another backend, or for none.
    """
    kind = record.build_options
    if options is not None and not isinstance(options, kind):
        if not is_dataclass(options) or isinstance(options, type):
            raise UsageError(f"options is {options!r:.80}; give a {kind.__name__}, or options by name")
        given = [field.name for field in fields(options) if getattr(options, field.name)]
        raise _foreign(
            given, record, (name for name, other in BACKENDS.items() if isinstance(options, other.build_options))
        )
    unknown = set(named) - _names(kind)
    owners = [name for name, other in BACKENDS.items() if unknown <= _names(other.build_options)] if unknown else []
    if owners:
        raise _foreign([name for name in named if name in unknown], record, owners)
    if options is None or named:
        values = {} if options is None else {name: getattr(options, name) for name in _names(kind)}
        return make_options(kind, values | named, record.name)
    return options


def _foreign(given: Sequence[str], record: Backend, owners: Iterable[str]) -> UsageError:
    named = ", ".join(name.replace("_", " ") for name in given) or "options"
    meant_for = " and ".join(sorted(owners)) or "another engine"
    return UsageError(f"{named}: for {meant_for}, not for {record.name}; leave it out")


def _names(options: type) -> set[str]:
    return {field.name for field in fields(options)}


__all__ = [
    "BACKENDS",
    "Ability",
    "Backend",
    "Surroundings",
    "TensorRtBuildOptions",
    "build_engine",
    "load_engine",
]
