"""TensorRT and TensorRT-RTX engines, built ahead of time. Running them needs a GPU, which has not been tried yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.build_contract import EXTRAS, BuildReport, Flavour
from vpp_deploy.engines.cuda_device import CudaDevice
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.plugin_library import library_of_engine
from vpp_deploy.engines.plugins import choose
from vpp_deploy.engines.store import EngineRecord, engine_writer, read_record, rebuild_command, source_hashes
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


def build(
    bundle: Bundle,
    flavour: Flavour,
    compute_capabilities: Sequence[str] = (),
    plugins: str | None = None,
    plugin_library: Path | None = None,
) -> None:
    """Lower the graphs to standard ONNX, but for what plugins take, and build an engine of each, in a child process.

    Args:
        bundle: where the graphs are, and where the engine goes.
        flavour: `tensorrt` (builds for the GPU that it runs on; not yet run) or `tensorrt-rtx` (needs no GPU).
        compute_capabilities: GPU generations, such as `8.9`; TensorRT-RTX only, none means its default set.
        plugins: see `vpp_deploy.engines.plugins.choose`.
        plugin_library: see there.

    Raises:
        DependencyError, DeviceError, PluginError, BuildError, UsageError, OutputError: see `build_tensorrt_engine`.
    """
    version = installed_version(flavour)
    chosen = choose(flavour, version, plugins, plugin_library)
    reports: dict[Phase, BuildReport] = {}
    with engine_writer(bundle, flavour) as (folder, finish):
        for phase in bundle.manifest.phases:
            with lowered_graph(bundle, phase, folder, LOWERING, plugins=chosen.form) as lowered:
                reports[phase] = build_tensorrt_engine(
                    lowered,
                    folder / f"{phase}.engine",
                    flavour=flavour,
                    compute_capabilities=compute_capabilities,
                    plugins=chosen,
                )
        details: dict[str, Any] = {phase: asdict(report) for phase, report in reports.items()}
        if chosen.library and any(report.plugin_layers for report in reports.values()):
            details |= chosen.library.record.to_details()
        finish(
            EngineRecord(
                backend=flavour,
                backend_version=version,
                precision=bundle.manifest.precision,
                compute_capabilities=tuple(compute_capabilities),
                source=source_hashes(bundle),
                files={},
                details=details,
            )
        )


class TensorRtEngine:
    """A built TensorRT or TensorRT-RTX engine. It can be inspected everywhere; the first stream loads it onto the GPU.

    Args:
        bundle: a bundle with an engine of this flavour.
        flavour: `tensorrt` or `tensorrt-rtx`.
        plugin_library: where the library is that the engine was built with, if it has plugins; None: look in
            `$VPP_DEPLOY_PLUGIN_PATH`.

    Raises:
        DependencyError: the runtime package is not installed.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
        PluginError: the engine has plugins, and their library was not found.
    """

    def __init__(self, bundle: Bundle, flavour: Flavour, plugin_library: Path | None = None) -> None:
        self.record = read_record(bundle, flavour, installed_version(flavour))
        self._library = library_of_engine(self.record.details, plugin_library, rebuild_command(bundle, flavour))
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
            PluginError: the plugin library does not load.
            IncompatibleEngineError: the engine cannot be deserialised on this machine.
        """
        with self._lock:
            if self._running is None:
                device = CudaDevice()
                files = {phase: self._folder / f"{phase}.engine" for phase in self._manifest.phases}
                self._running = device, TensorRtRuntime(self._flavour, files, self._manifest, self._library)
        device, runtime = self._running
        return DeviceStream(self._manifest, device, runtime.create_context)
