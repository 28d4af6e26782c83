"""Backends that build and run engines; nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Engine
from vpp_deploy.engines import onnxruntime_cuda, onnxruntime_engine, tensorrt_engine
from vpp_deploy.engines.onnxruntime_cuda import OnnxRuntimeCudaEngine
from vpp_deploy.engines.onnxruntime_engine import OnnxRuntimeEngine
from vpp_deploy.engines.store import EngineRecord
from vpp_deploy.engines.tensorrt_engine import TensorRtEngine
from vpp_deploy.errors import UsageError

BACKENDS = ("onnxruntime", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt")


def build_engine(
    bundle: Bundle,
    backend: str = "onnxruntime",
    *,
    compute_capabilities: Sequence[str] = (),
    plugins: str | None = None,
    plugin_library: Path | None = None,
) -> Engine:
    """Build an engine from a bundle's graphs, store it in the bundle, and load it.

    Args:
        bundle: an open bundle.
        backend: one of `BACKENDS`.
        compute_capabilities: GPU generations such as `8.9` (`tensorrt-rtx` only).
        plugins: CUDA plugins for the `vpp` ops (`tensorrt` and `tensorrt-rtx` only): `embedded`, `library` or `none`.
            None: what `vpp_deploy.engines.plugins.choose` finds.
        plugin_library: the plugin library's file or folder; None: look in `$VPP_DEPLOY_PLUGIN_PATH`.

    Raises:
        UsageError: unknown backend, or options for one that does not take them.
        DependencyError: the backend's package is not installed.
        DeviceError: the backend needs a GPU to build and there is none.
        PluginError: the plugin library is missing, of another version, or does not load.
        BuildError: the backend refuses a graph.
        OutputError: the bundle cannot be written to.
    """
    if backend != "tensorrt-rtx" and compute_capabilities:
        raise UsageError(f"compute capabilities are for tensorrt-rtx, not for {backend}; leave them out")
    if backend not in ("tensorrt", "tensorrt-rtx") and (plugins or plugin_library):
        raise UsageError(f"plugins are for tensorrt and tensorrt-rtx, not for {backend}; leave them out")
    match backend:
        case "onnxruntime":
            onnxruntime_engine.build(bundle)
        case "onnxruntime-cuda":
            onnxruntime_cuda.build(bundle)
        case "tensorrt" | "tensorrt-rtx":
            tensorrt_engine.build(bundle, backend, compute_capabilities, plugins, plugin_library)
        case _:
            raise _unknown(backend)
    return load_engine(bundle, backend, plugin_library=plugin_library)


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
    "build_engine",
    "load_engine",
]
