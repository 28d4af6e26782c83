"""Backends that build and run engines; nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Engine
from vpp_deploy.engines import onnxruntime_cuda, onnxruntime_engine, tensorrt_engine
from vpp_deploy.engines.onnxruntime_cuda import OnnxRuntimeCudaEngine
from vpp_deploy.engines.onnxruntime_engine import OnnxRuntimeEngine
from vpp_deploy.engines.store import EngineRecord
from vpp_deploy.engines.tensorrt_engine import TensorRtEngine
from vpp_deploy.errors import UsageError

BACKENDS = ("onnxruntime", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt")


def build_engine(bundle: Bundle, backend: str = "onnxruntime", *, compute_capabilities: Sequence[str] = ()) -> Engine:
    """Build an engine from a bundle's graphs, store it in the bundle, and load it.

    Args:
        bundle: an open bundle.
        backend: one of `BACKENDS`.
        compute_capabilities: GPU generations such as `8.9` (`tensorrt-rtx` only).

    Raises:
        UsageError: unknown backend, or compute capabilities for one that takes none.
        DependencyError: the backend's package is not installed.
        DeviceError: the backend needs a GPU to build and there is none.
        BuildError: the backend refuses a graph.
        OutputError: the bundle cannot be written to.
    """
    if backend != "tensorrt-rtx" and compute_capabilities:
        raise UsageError(f"compute capabilities are for tensorrt-rtx, not for {backend}; leave them out")
    match backend:
        case "onnxruntime":
            onnxruntime_engine.build(bundle)
        case "onnxruntime-cuda":
            onnxruntime_cuda.build(bundle)
        case "tensorrt" | "tensorrt-rtx":
            tensorrt_engine.build(bundle, backend, compute_capabilities)
        case _:
            raise _unknown(backend)
    return load_engine(bundle, backend)


def load_engine(bundle: Bundle, backend: str = "onnxruntime", *, threads: int | None = None) -> Engine:
    """Load an engine that `build_engine` stored in the bundle.

    Args:
        bundle: an open bundle.
        backend: one of `BACKENDS`.
        threads: threads per frame (`onnxruntime` only); None takes all processors.

    Raises:
        UsageError: unknown backend.
        DependencyError: the backend's package is not installed.
        IncompatibleEngineError: there is no such engine, or it does not fit the bundle, the version or the machine.
        DeviceError: the backend's device is not there.
    """
    match backend:
        case "onnxruntime":
            return OnnxRuntimeEngine(bundle, threads)
        case "onnxruntime-cuda":
            return OnnxRuntimeCudaEngine(bundle)
        case "tensorrt" | "tensorrt-rtx":
            return TensorRtEngine(bundle, backend)
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
