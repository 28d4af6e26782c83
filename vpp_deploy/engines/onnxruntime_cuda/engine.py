"""ONNX Runtime on an NVIDIA GPU, with the state of every stream on the device."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Final

import onnx
import onnxruntime

from vpp_deploy.bundle.external_data import externalize
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.backend import BuildProgress
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer
from vpp_deploy.engines.loaded import BuiltEngine
from vpp_deploy.engines.lowered import lowered_whole
from vpp_deploy.engines.onnxruntime import BACKEND as ON_PROCESSOR
from vpp_deploy.engines.onnxruntime.sessions import CPU, Provider, Session, load_graph, session_options
from vpp_deploy.engines.onnxruntime_cuda import BACKEND
from vpp_deploy.engines.onnxruntime_cuda.device import OnnxRuntimeContext, OnnxRuntimeDevice
from vpp_deploy.engines.onnxruntime_cuda.needs import PROVIDER, REMEDY
from vpp_deploy.engines.onnxruntime_cuda.options import OnnxRuntimeCudaLoadOptions
from vpp_deploy.errors import DeviceError
from vpp_deploy.options import NoOptions

_WEIGHTS_FILE: Final = "weights.safetensors"


@dataclass(frozen=True)
class OnnxRuntimeCudaBuild:
    """A build of both graphs of a bundle; there is nothing to choose."""

    bundle: Bundle
    options: NoOptions

    @property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built."""
        return EngineRecord.wanted(self.bundle, BACKEND)

    def run(self, progress: BuildProgress = lambda step, share: None) -> None:
        """Lower the graphs and store them. They are optimised when they are loaded, for the GPU that is there then.

        Raises:
            BundleError: a graph is not what the manifest says, or needs more memory than is allowed.
            OutputError: the bundle cannot be written to.
        """
        bundle = self.bundle
        with engine_writer(bundle, BACKEND.name) as (folder, finish):
            models = {str(role): lowered_whole(bundle, role, ON_PROCESSOR.name) for role in bundle.manifest.roles}
            externalize(models, folder / _WEIGHTS_FILE)
            for name, model in models.items():
                onnx.save(model, folder / f"{name}.onnx")
            finish(self.wanted)


def load(bundle: Bundle, options: OnnxRuntimeCudaLoadOptions) -> OnnxRuntimeCudaEngine:
    """Load the engine that a bundle has; see `OnnxRuntimeCudaEngine`."""
    return OnnxRuntimeCudaEngine(bundle, tf32=options.tf32, cuda_graphs=options.cuda_graphs)


class OnnxRuntimeCudaEngine(BuiltEngine):
    """A bundle's graphs on ONNX Runtime's CUDA provider. It can be inspected everywhere; the first stream loads it.

    Args:
        bundle: a bundle with a built engine.
        device: `cuda`; `cpu` runs the same code, binding and all, on the processor.
        tf32: see `OnnxRuntimeCudaLoadOptions`.
        cuda_graphs: see there.

    Raises:
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
    """

    def __init__(self, bundle: Bundle, device: str = "cuda", *, tf32: bool = False, cuda_graphs: bool = False) -> None:
        super().__init__(bundle, BACKEND)
        self._device_name, self._tf32, self._cuda_graphs = device, tf32, cuda_graphs
        self._lock = Lock()
        self._running: tuple[OnnxRuntimeDevice, dict[GraphRole, Session]] | None = None

    def open_stream(self) -> DeviceStream:
        """A new stream with empty state; no weights are copied.

        Raises:
            IncompatibleEngineError: a graph is damaged, or not what the manifest says.
            DeviceError: ONNX Runtime has no CUDA provider, or it does not start here.
        """
        with self._lock:
            if self._running is None:
                self._running = self._start()
        device, sessions = self._running
        return DeviceStream(
            self._manifest,
            device,
            lambda role: OnnxRuntimeContext(sessions[role], device, repeats=self._repeats(role)),
        )

    def _repeats(self, role: GraphRole) -> bool:
        return role == self._manifest.roles[-1]

    def _start(self) -> tuple[OnnxRuntimeDevice, dict[GraphRole, Session]]:
        on_gpu = self._device_name == "cuda"
        provider = PROVIDER if on_gpu else CPU
        if provider not in onnxruntime.get_available_providers():
            raise DeviceError(
                f"this ONNX Runtime {onnxruntime.__version__} has no {provider}: {REMEDY}; or use --engine "
                f"{ON_PROCESSOR.name}"
            )
        device = OnnxRuntimeDevice(self._device_name, tf32=self._tf32, cuda_graphs=self._cuda_graphs)

        def load(role: GraphRole) -> Session:
            chosen: Provider = provider
            if on_gpu:  # without the first option its float32 is TF32 on Ampere and later
                graphs = self._cuda_graphs and self._repeats(role)
                chosen = provider, {"use_tf32": str(int(self._tf32)), "enable_cuda_graph": str(int(graphs))}
            return load_graph(self.files, self._manifest, role, session_options(threads=None), chosen)

        sessions = {role: load(role) for role in self._manifest.roles}
        for session in sessions.values():
            if (active := session.native.get_providers()[0]) != provider:
                raise DeviceError(
                    f"ONNX Runtime's {provider} did not start (active: {active}); see `vpp-deploy doctor` for driver "
                    f"and GPU, or use --engine {ON_PROCESSOR.name}"
                )
        return device, sessions
