"""TensorRT and TensorRT-RTX engine files at run time. Not yet run on a GPU: written against the documented API."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.device import Buffer, Queue
from vpp_deploy.engines.tensorrt import RECORDS
from vpp_deploy.engines.tensorrt.plugin_library import PluginLibrary, load_into
from vpp_deploy.engines.tensorrt.runtime_cache import RuntimeCache
from vpp_deploy.errors import DependencyError, DeviceError, IncompatibleEngineError

_TYPES: Final = {"float32": "FLOAT", "float16": "HALF", "int32": "INT32", "uint8": "UINT8", "bool": "BOOL"}
"""TensorRT's names."""


class TensorRtRuntime:
    """Deserialised engines, one per graph, shared by the contexts of all streams.

    Args:
        backend: `tensorrt` or `tensorrt-rtx`.
        files: each graph's engine file.
        manifest: what the engines' inputs and outputs should be.
        library: the engines' plugins; None if they have none.
        host_code: allow code in the engine to run on the processor, as version compatible engines need it.
        cache: kernels that were compiled for this GPU (TensorRT-RTX only).

    Attributes:
        scratch_bytes: device memory that a context needs for intermediate tensors, whichever graph it is of.

    Raises:
        DependencyError: the backend's package is not installed or does not load.
        PluginError: the plugin library does not load.
        IncompatibleEngineError: an engine cannot be deserialised here, or has other inputs and outputs.
    """

    def __init__(
        self,
        backend: str,
        files: dict[GraphRole, Path],
        manifest: Manifest,
        library: PluginLibrary | None = None,
        *,
        host_code: bool = False,
        cache: RuntimeCache | None = None,
    ) -> None:
        self._trt = _import(RECORDS[backend])
        self._logger = self._trt.Logger(self._trt.Logger.WARNING)
        if library is not None:
            load_into(self._trt, backend, library)
        self._runtime = self._trt.Runtime(self._logger)
        if host_code:
            self._runtime.engine_host_code_allowed = True
        self._engines = {role: self._deserialise(path) for role, path in files.items()}
        for role, engine in self._engines.items():
            check_tensors(engine, manifest, role, files[role])
        self._cache = cache
        self.scratch_bytes = max(int(engine.device_memory_size_v2) for engine in self._engines.values())

    def create_context(self, role: GraphRole, scratch: Buffer) -> TensorRtContext:
        """A new execution context; no weights are copied.

        Args:
            role: of which graph.
            scratch: `scratch_bytes` of device memory. Contexts that never run at once may share it.

        Raises:
            DeviceError: there is not enough device memory.
        """
        engine, how = self._engines[role], self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._cache is None:
            context = engine.create_execution_context(how)
        else:
            config = engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(how)
            self._cache.attach(config)
            context = engine.create_execution_context(config)
        if context is None:
            raise DeviceError(f"no execution context for the {role} graph: most likely device memory ran out")
        if self._cache is not None:
            self._cache.save()
        context.set_device_memory(scratch.address, scratch.nbytes)
        return TensorRtContext(context, role, scratch)

    def _deserialise(self, path: Path) -> Any:
        try:
            engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        except (RuntimeError, TypeError, ValueError, MemoryError) as error:  # of the binding
            raise IncompatibleEngineError(f"{path} cannot be deserialised here ({error}); build it again") from error
        if engine is None:
            raise IncompatibleEngineError(
                f"{path} cannot be deserialised here (its reason is logged above); build the engine on this machine"
            )
        return engine


class TensorRtContext:
    """One stream's execution context of one engine."""

    def __init__(self, context: Any, role: GraphRole, scratch: Buffer) -> None:
        self._context, self._role = context, role
        self._scratch = scratch  # TensorRT has its address alone

    def bind(self, name: str, buffer: Buffer) -> None:
        """Have an input or output live at this device address from now on."""
        if not self._context.set_tensor_address(name, buffer.address):
            raise DeviceError(f"TensorRT does not take an address for {name} of the {self._role} graph")

    def can_be_captured(self, queue: Queue) -> bool:
        """TensorRT-RTX says so; TensorRT has no such question, and captures what was built from static shapes."""
        asks = getattr(self._context, "is_stream_capturable", None)
        return asks is None or bool(asks(queue.handle))

    def enqueue(self, queue: Queue) -> None:
        """Queue one run in a CUDA stream."""
        if not self._context.execute_async_v3(queue.handle):
            raise DeviceError(f"TensorRT could not run the {self._role} graph (its reason is logged above)")


def check_tensors(engine: Any, manifest: Manifest, role: GraphRole, path: Path) -> None:
    """Hold an engine's inputs and outputs to the manifest.

    Raises:
        IncompatibleEngineError: a tensor is missing, is too many, or has another type or shape.
    """
    promised = manifest.inputs_of(role) | manifest.outputs_of(role)
    expected = {name: (_TYPES[spec.dtype], tuple(spec.shape)) for name, spec in promised.items()}
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: (engine.get_tensor_dtype(name).name, tuple(engine.get_tensor_shape(name))) for name in names}
    if found != expected:
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        first = differing[0]
        raise IncompatibleEngineError(
            f"{path}: tensor {first!r:.80} is {_in_words(found.get(first))}, the manifest says "
            f"{_in_words(expected.get(first))}; build the engine again"
        )


def _in_words(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return "not there" if tensor is None else f"{tensor[0]} {list(tensor[1])}"


def _import(record: Backend) -> Any:
    try:
        return importlib.import_module(record.module)
    except (ImportError, OSError, RuntimeError) as error:  # NVIDIA's packages load shared libraries on import
        reason = " ".join(str(error).split())
        raise DependencyError(f"{record.name} does not load ({reason}): {record.install_command}") from error
