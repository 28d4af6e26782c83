"""TensorRT and TensorRT-RTX engines, built ahead of time. Running them needs a GPU, which has not been tried yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from threading import Lock

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.build_contract import EXTRAS, BuildReport, Flavour
from vpp_deploy.engines.cuda_device import CudaDevice
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.store import EngineRecord, engine_writer, read_record, source_hashes
from vpp_deploy.engines.tensorrt_build import build_tensorrt_engine
from vpp_deploy.engines.tensorrt_runtime import TensorRtRuntime
from vpp_deploy.errors import DependencyError
from vpp_deploy.frames import Size

LOWERING = "tensorrt"


def installed_version(flavour: Flavour) -> str:
    """Version of the installed builder; its package has the flavour's name.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return metadata.version(flavour)
    except metadata.PackageNotFoundError as error:
        extra = EXTRAS[flavour]
        raise DependencyError(
            f"{flavour} is not installed; install it with: pip install vpp-deploy[{extra}]"
        ) from error


def build(bundle: Bundle, flavour: Flavour, compute_capabilities: Sequence[str] = ()) -> None:
    """Lower the graphs to standard ONNX and build an engine of each, in a child process.

    Args:
        bundle: where the graphs are, and where the engine goes.
        flavour: `tensorrt` (builds for the GPU that it runs on; not yet run) or `tensorrt-rtx` (needs no GPU).
        compute_capabilities: GPU generations, such as `8.9`; TensorRT-RTX only, none means its default set.

    Raises:
        DependencyError, DeviceError, BuildError, UsageError, OutputError: see `build_tensorrt_engine`.
    """
    version = installed_version(flavour)
    reports: dict[Phase, BuildReport] = {}
    with engine_writer(bundle, flavour) as (folder, finish):
        for phase in bundle.manifest.phases:
            with lowered_graph(bundle, phase, folder, LOWERING) as lowered:
                reports[phase] = build_tensorrt_engine(
                    lowered, folder / f"{phase}.engine", flavour=flavour, compute_capabilities=compute_capabilities
                )
        finish(
            EngineRecord(
                backend=flavour,
                backend_version=version,
                precision=bundle.manifest.precision,
                compute_capabilities=tuple(compute_capabilities),
                source=source_hashes(bundle),
                files={},
                details={phase: asdict(report) for phase, report in reports.items()},
            )
        )


class TensorRtEngine:
    """A built TensorRT or TensorRT-RTX engine. It can be inspected everywhere; the first stream loads it onto the GPU.

    Args:
        bundle: a bundle with an engine of this flavour.
        flavour: `tensorrt` or `tensorrt-rtx`.

    Raises:
        DependencyError: the runtime package is not installed.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
    """

    def __init__(self, bundle: Bundle, flavour: Flavour) -> None:
        self.record = read_record(bundle, flavour, installed_version(flavour))
        self._manifest, self._flavour = bundle.manifest, flavour
        self._folder = bundle.engine_folder(flavour)
        self._lock = Lock()
        self._running: tuple[CudaDevice, TensorRtRuntime] | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        return self._manifest

    @property
    def backend(self) -> str:
        """`tensorrt` or `tensorrt-rtx`."""
        return self._flavour

    @property
    def precision(self) -> str:
        """The arithmetic precision of the engine."""
        return self.record.precision

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        return self._manifest.frame_size

    def open_stream(self) -> DeviceStream:
        """A new stream with empty state: its own contexts and buffers; no weights are copied.

        Raises:
            DependencyError: pycuda is not installed.
            DeviceError: there is no GPU, or not enough memory on it.
            IncompatibleEngineError: the engine cannot be deserialised on this machine.
        """
        with self._lock:
            if self._running is None:
                device = CudaDevice()
                files = {phase: self._folder / f"{phase}.engine" for phase in self._manifest.phases}
                self._running = device, TensorRtRuntime(self._flavour, files, self._manifest)
        device, runtime = self._running
        return DeviceStream(self._manifest, device, runtime.create_context)
