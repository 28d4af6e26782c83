"""ONNX Runtime on an NVIDIA GPU, with the state of every stream on the device. Not yet run on a GPU."""

from __future__ import annotations

import onnx
import onnxruntime

from vpp_deploy import ops
from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.weights import externalize
from vpp_deploy.engines.device import Context
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.onnxruntime_device import OnnxRuntimeContext, OnnxRuntimeDevice
from vpp_deploy.engines.onnxruntime_engine import new_session, session_options
from vpp_deploy.engines.store import EngineRecord, engine_writer, read_record, source_hashes
from vpp_deploy.errors import DeviceError
from vpp_deploy.frames import Size

BACKEND = "onnxruntime-cuda"
_PROVIDER = "CUDAExecutionProvider"
_WEIGHTS_FILE = "weights.safetensors"


def wanted(bundle: Bundle) -> EngineRecord:
    """The record of an engine that would be built now."""
    return EngineRecord(
        backend=BACKEND,
        backend_version=onnxruntime.__version__,
        precision=bundle.manifest.precision,
        source=source_hashes(bundle),
        files={},
    )


def build(bundle: Bundle) -> None:
    """Lower the graphs and store them. They are optimised when they are loaded, for the GPU that is there then.

    Raises:
        OutputError: the bundle cannot be written to.
    """
    with engine_writer(bundle, BACKEND) as (folder, finish):
        models = {}
        for phase in bundle.manifest.phases:
            graph = onnx.load(bundle.graph_path(phase), load_external_data=False)
            models[str(phase)] = ops.lower(graph, "onnxruntime")
            onnx.load_external_data_for_model(models[str(phase)], str(bundle.path))
        externalize(models, folder / _WEIGHTS_FILE)
        for name, model in models.items():
            onnx.save(model, folder / f"{name}.onnx")
        finish(wanted(bundle))


class OnnxRuntimeCudaEngine:
    """A bundle's graphs on ONNX Runtime's CUDA provider.

    Args:
        bundle: a bundle with a built engine.
        device: `cuda`; `cpu` runs the same code, binding and all, on the processor.

    Raises:
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
        DeviceError: ONNX Runtime has no CUDA provider, or it does not start here.
    """

    backend = BACKEND

    def __init__(self, bundle: Bundle, device: str = "cuda") -> None:
        self._record = read_record(bundle, BACKEND, onnxruntime.__version__)
        self._manifest = bundle.manifest
        self._device = OnnxRuntimeDevice(device)
        provider = _PROVIDER if device == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise DeviceError(
                f"this ONNX Runtime {onnxruntime.__version__} has no {provider}: pip uninstall onnxruntime, then "
                "pip install vpp-deploy[gpu]; or use --engine onnxruntime"
            )
        folder = bundle.engine_folder(BACKEND)
        self._sessions = {
            phase: new_session(folder / f"{phase}.onnx", session_options(threads=None), provider)
            for phase in self._manifest.phases
        }
        for session in self._sessions.values():
            if (active := session.get_providers()[0]) != provider:
                raise DeviceError(
                    f"ONNX Runtime's {provider} did not start (active: {active}); see `vpp-deploy doctor` for driver "
                    "and GPU, or use --engine onnxruntime"
                )

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        return self._manifest

    @property
    def precision(self) -> str:
        """The arithmetic precision of the engine."""
        return self._record.precision

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        return self._manifest.frame_size

    def open_stream(self) -> DeviceStream:
        """A new stream with empty state; no weights are copied."""
        return DeviceStream(self._manifest, self._device, self._context)

    def _context(self, phase: Phase) -> Context:
        return OnnxRuntimeContext(self._sessions[phase])
