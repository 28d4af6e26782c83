"""Backends that build and run engines; nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Engine
from vpp_deploy.engines import onnxruntime_cuda, onnxruntime_engine
from vpp_deploy.engines.build_contract import DEFAULTS, Progress, TensorRtOptions
from vpp_deploy.engines.cache import Part, look_up
from vpp_deploy.engines.onnxruntime_cuda import OnnxRuntimeCudaEngine
from vpp_deploy.engines.onnxruntime_engine import OnnxRuntimeEngine
from vpp_deploy.engines.store import EngineRecord
from vpp_deploy.engines.tensorrt_engine import TensorRtBuild, TensorRtEngine
from vpp_deploy.errors import UsageError

BACKENDS = ("onnxruntime", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt")


def build_engine(
    bundle: Bundle,
    backend: str = "onnxruntime",
    options: TensorRtOptions | None = None,
    *,
    force: bool = False,
    looked_up: Callable[[Sequence[Part]], None] = lambda parts: None,
    progress: Progress = lambda step, share: None,
) -> Engine:
    """Build an engine from a bundle's graphs, store it in the bundle, and load it.

    An engine that the bundle has already, of the same graphs, versions and options, is left as it is.

    Args:
        bundle: an open bundle.
        backend: one of `BACKENDS`.
        options: for `tensorrt` and `tensorrt-rtx`; None takes the defaults.
        force: build in any case.
        looked_up: called with what agrees and what does not with the engine that the bundle has.
        progress: called with the name of a step and the share of it that is done (`tensorrt` and `tensorrt-rtx` only).

    Raises:
        UsageError: unknown backend, or options for one that does not take them.
        DependencyError: the backend's package is not installed.
        DeviceError: the backend needs a GPU to build and there is none.
        PluginError: the plugin library is missing, of another version, or does not load.
        BuildError: the backend refuses a graph.
        OutputError: the bundle cannot be written to.
    """
    if options is not None and backend not in ("tensorrt", "tensorrt-rtx"):
        given = [field.name.replace("_", " ") for field in fields(options) if getattr(options, field.name)]
        raise UsageError(
            f"{', '.join(given) or 'options'}: for tensorrt and tensorrt-rtx, not for {backend}; leave it out"
        )
    run: Callable[[], None]
    match backend:
        case "onnxruntime":
            wanted, run = onnxruntime_engine.wanted(bundle), partial(onnxruntime_engine.build, bundle)
        case "onnxruntime-cuda":
            wanted, run = onnxruntime_cuda.wanted(bundle), partial(onnxruntime_cuda.build, bundle)
        case "tensorrt" | "tensorrt-rtx":
            build = TensorRtBuild(bundle, backend, options or DEFAULTS)
            wanted, run = build.wanted, partial(build.run, progress)
        case _:
            raise _unknown(backend)
    parts = look_up(bundle, wanted)
    looked_up(parts)
    if force or not all(part.hit for part in parts):
        run()
    return load_engine(bundle, backend, plugin_library=options.plugin_library if options else None)


def load_engine(
    bundle: Bundle, backend: str = "onnxruntime", *, threads: int | None = None, plugin_library: Path | None = None
) -> Engine:
    """Load an engine that `build_engine` stored in the bundle.

    Args:
        bundle: an open bundle.
        backend: one of `BACKENDS`.
        threads: threads per frame (`onnxruntime` only); None takes all processors.
        plugin_library: file or folder of the plugin library that a TensorRT engine was built with; None: look in
            `$VPP_DEPLOY_PLUGIN_PATH`.

    Raises:
        UsageError: unknown backend.
        DependencyError: the backend's package is not installed.
        IncompatibleEngineError: there is no such engine, or it does not fit the bundle, the version or the machine.
        PluginError: the plugin library that the engine was built with was not found.
        DeviceError: the backend's device is not there.
    """
    match backend:
        case "onnxruntime":
            return OnnxRuntimeEngine(bundle, threads)
        case "onnxruntime-cuda":
            return OnnxRuntimeCudaEngine(bundle)
        case "tensorrt" | "tensorrt-rtx":
            return TensorRtEngine(bundle, backend, plugin_library)
        case _:
            raise _unknown(backend)


def _unknown(backend: str) -> UsageError:
    return UsageError(f"unknown engine {backend!r}; use one of {', '.join(BACKENDS)}")


__all__ = [
    "BACKENDS",
    "EngineRecord",
    "OnnxRuntimeCudaEngine",
    "OnnxRuntimeEngine",
    "TensorRtEngine",
    "TensorRtOptions",
    "build_engine",
    "load_engine",
]
