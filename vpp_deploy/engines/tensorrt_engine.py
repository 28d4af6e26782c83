"""TensorRT and TensorRT-RTX engines, built ahead of time. Running them needs a GPU, which has not been tried yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.build_contract import EXTRAS, BuildReport, Flavour, Progress, TensorRtOptions
from vpp_deploy.engines.cache import option_texts
from vpp_deploy.engines.cuda_device import CudaDevice
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.plugin_library import library_of_engine
from vpp_deploy.engines.plugins import choose
from vpp_deploy.engines.store import (
    VERSION_COMPATIBLE,
    EngineRecord,
    engine_writer,
    read_record,
    rebuild_command,
    source_hashes,
)
from vpp_deploy.engines.tensorrt_build import build_tensorrt_engine, check_options
from vpp_deploy.engines.tensorrt_runtime import TensorRtRuntime
from vpp_deploy.errors import DependencyError, IncompatibleEngineError
from vpp_deploy.frames import Size
from vpp_deploy.gpus import Gpu, nvidia_gpus

LOWERING = "tensorrt"
HOST_CODE_VARIABLE = "VPP_DEPLOY_HOST_CODE"
"""Environment variable: 1 lets version compatible engines run the code that they carry."""


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


class TensorRtBuild:
    """A build that has been decided on: nothing is missing that can be known beforehand.

    Args:
        bundle: where the graphs are, and where the engine goes.
        flavour: `tensorrt` (builds for the GPU that it runs on; not yet run) or `tensorrt-rtx` (needs no GPU).
        options: how to build.

    Raises:
        DependencyError: the builder is not installed.
        UsageError: an option that the builder does not have, or that contradicts another one.
        PluginError: the plugin library is missing or of another version.
    """

    def __init__(self, bundle: Bundle, flavour: Flavour, options: TensorRtOptions) -> None:
        check_options(flavour, options)
        self._bundle, self._flavour, self._options = bundle, flavour, options
        self._version = installed_version(flavour)
        self._plugins = choose(flavour, self._version, options.plugins, options.plugin_library)

    @cached_property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built."""
        options, gpus = self._options, nvidia_gpus()
        on_this_gpu = self._flavour == "tensorrt" and not options.hardware_compatible
        return EngineRecord(
            backend=self._flavour,
            backend_version=self._version,
            precision=self._bundle.manifest.precision,
            compute_capabilities=(
                tuple(gpu.compute_capability for gpu in gpus[:1])
                if on_this_gpu
                else tuple(dict.fromkeys(options.compute_capabilities))
            ),
            options=option_texts(
                gpu=gpus[0].name if on_this_gpu and gpus else None,
                plugins=self._plugins.fingerprint,
                workspace_bytes=options.workspace_bytes,
                tf32=options.tf32,
                hardware_compatible=options.hardware_compatible,
                version_compatible=options.version_compatible,
            ),
            source=source_hashes(self._bundle),
            files={},
        )

    def run(self, progress: Progress = lambda step, share: None) -> None:
        """Lower the graphs to standard ONNX, but for what plugins take, and build each in a child process.

        Raises:
            DependencyError, DeviceError, PluginError, BuildError, UsageError, OutputError: see
                `build_tensorrt_engine`.
        """
        reports: dict[Phase, BuildReport] = {}
        with engine_writer(self._bundle, self._flavour) as (folder, finish):
            for phase in self._bundle.manifest.phases:
                with lowered_graph(self._bundle, phase, folder, LOWERING, plugins=self._plugins.form) as lowered:
                    reports[phase] = build_tensorrt_engine(
                        lowered,
                        folder / f"{phase}.engine",
                        flavour=self._flavour,
                        options=self._options,
                        plugins=self._plugins,
                        progress=partial(_report, progress, phase),
                    )
            details: dict[str, Any] = {phase: asdict(report) for phase, report in reports.items()}
            if self._plugins.library and any(report.plugin_layers for report in reports.values()):
                details |= self._plugins.library.record.to_details()
            finish(self.wanted.model_copy(update={"details": details}))


def _report(progress: Progress, phase: Phase, step: str, share: float) -> None:
    progress(f"{phase}: {step}", share)


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
        self._rebuild = rebuild_command(bundle, flavour)
        self._library = library_of_engine(self.record.details, plugin_library, self._rebuild)
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
            IncompatibleEngineError: the engine is for another GPU, cannot be deserialised on this machine, or carries
                code for the processor that the user has not allowed.
        """
        with self._lock:
            if self._running is None:
                check_gpu(self.record, nvidia_gpus(), self._rebuild)
                check_host_code(self.record)
                device = CudaDevice()
                files = {phase: self._folder / f"{phase}.engine" for phase in self._manifest.phases}
                runtime = TensorRtRuntime(
                    self._flavour,
                    files,
                    self._manifest,
                    self._library,
                    host_code=VERSION_COMPATIBLE in self.record.options,
                )
                self._running = device, runtime
        device, runtime = self._running
        return DeviceStream(self._manifest, device, runtime.create_context)


def check_gpu(record: EngineRecord, gpus: Sequence[Gpu], build_command: str) -> None:
    """See that an engine is for a GPU of this machine, as far as both are known; no vendor library is asked.

    Args:
        record: of the engine.
        gpus: of the machine; none leaves the question to whoever opens a stream.
        build_command: what builds the engine again.

    Raises:
        IncompatibleEngineError: it is for other GPUs.
    """
    if not record.compute_capabilities or not gpus:
        return
    if all(gpu.compute_capability not in record.compute_capabilities for gpu in gpus):
        here = ", ".join(f"{gpu.name} ({gpu.compute_capability})" for gpu in gpus)
        raise IncompatibleEngineError(
            f"the {record.backend} engine is for GPUs of compute capability {', '.join(record.compute_capabilities)}, "
            f"this machine has {here}; build it with: {build_command}"
        )


def check_host_code(record: EngineRecord) -> None:
    """See that an engine which carries code for the processor is one that the user trusts: a bundle cannot say so.

    Raises:
        IncompatibleEngineError: it carries code, and `$VPP_DEPLOY_HOST_CODE` does not allow that.
    """
    if VERSION_COMPATIBLE in record.options and os.environ.get(HOST_CODE_VARIABLE) != "1":
        raise IncompatibleEngineError(
            f"the {record.backend} engine is version compatible, so it carries code that runs on the processor; if you "
            f"trust where it comes from: export {HOST_CODE_VARIABLE}=1, or build it without --version-compatible"
        )
