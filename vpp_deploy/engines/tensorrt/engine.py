"""TensorRT and TensorRT-RTX engines, built ahead of time. Running them needs a GPU, which has not been tried yet."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.backend import BuildProgress
from vpp_deploy.engines.cuda_device import CudaDevice
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.engine_record import (
    VERSION_COMPATIBLE,
    EngineRecord,
    check_gpu,
    engine_writer,
    rebuild_command,
)
from vpp_deploy.engines.fingerprint import option_texts
from vpp_deploy.engines.loaded import BuiltEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.tensorrt import RECORDS, TENSORRT_RTX
from vpp_deploy.engines.tensorrt.build import build_tensorrt_engine, check_options
from vpp_deploy.engines.tensorrt.build_contract import BuildReport
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions, TensorRtLoadOptions
from vpp_deploy.engines.tensorrt.plugin_library import PLUGINS
from vpp_deploy.engines.tensorrt.plugins import choose
from vpp_deploy.engines.tensorrt.runtime import TensorRtRuntime
from vpp_deploy.engines.tensorrt.runtime_cache import RuntimeCache, cache_file
from vpp_deploy.errors import IncompatibleEngineError
from vpp_deploy.machine import nvidia_gpus

LOWERING = "tensorrt"
HOST_CODE_VARIABLE = "VPP_DEPLOY_HOST_CODE"
"""Environment variable: 1 lets version compatible engines run the code that they carry."""


class TensorRtBuild:
    """A build that has been decided on: nothing is missing that can be known beforehand.

    Args:
        bundle: where the graphs are, and where the engine goes.
        options: how to build.
        backend: `tensorrt` (builds for the GPU that it runs on; not yet run) or `tensorrt-rtx` (needs no GPU).

    Raises:
        DependencyError: the builder is not installed.
        UsageError: an option that the builder does not have, or that contradicts another one.
        PluginError: the plugin library is missing or of another version.
    """

    def __init__(self, bundle: Bundle, options: TensorRtBuildOptions, *, backend: str) -> None:
        check_options(backend, options)
        self._bundle, self._backend, self._options = bundle, backend, options
        self._plugins = choose(backend, RECORDS[backend].required_version(), options.plugins, options.plugin_library)

    @cached_property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built."""
        options, gpus = self._options, nvidia_gpus()
        on_this_gpu = RECORDS[self._backend].builds_on == "gpu" and not options.hardware_compatible
        return EngineRecord.wanted(
            self._bundle,
            RECORDS[self._backend],
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
        )

    def run(self, progress: BuildProgress = lambda step, share: None) -> None:
        """Lower the graphs to standard ONNX, but for what plugins take, and build each in a child process.

        Raises:
            DependencyError, DeviceError, PluginError, BuildError, UsageError, OutputError: see
                `build_tensorrt_engine`.
        """
        reports: dict[GraphRole, BuildReport] = {}
        with engine_writer(self._bundle, self._backend) as (folder, finish):
            for role in self._bundle.manifest.roles:
                with lowered_graph(self._bundle, role, folder, LOWERING, plugins=self._plugins.form) as lowered:
                    reports[role] = build_tensorrt_engine(
                        lowered,
                        folder / f"{role}.engine",
                        backend=self._backend,
                        options=self._options,
                        plugins=self._plugins,
                        progress=partial(_report, progress, role),
                    )
            details: dict[str, Any] = {role: asdict(report) for role, report in reports.items()}
            if self._plugins.library and any(report.plugin_layers for report in reports.values()):
                details |= PLUGINS.to_details(self._plugins.library)
            finish(self.wanted.model_copy(update={"details": details}))


def _report(progress: BuildProgress, role: GraphRole, step: str, share: float) -> None:
    progress(f"{role}: {step}", share)


def load(bundle: Bundle, options: TensorRtLoadOptions, *, backend: str) -> TensorRtEngine:
    """Load the engine that a bundle has; see `TensorRtEngine`."""
    return TensorRtEngine(bundle, backend, options.plugin_library)


class TensorRtEngine(BuiltEngine):
    """A built TensorRT or TensorRT-RTX engine. It can be inspected everywhere; the first stream loads it onto the GPU.

    Args:
        bundle: a bundle with an engine of this backend.
        backend: `tensorrt` or `tensorrt-rtx`.
        plugin_library: where the library is that the engine was built with, if it has plugins; None: look in
            `$VPP_DEPLOY_PLUGIN_PATH`.

    Raises:
        DependencyError: the runtime package is not installed.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
        PluginError: the engine has plugins, and their library was not found.
    """

    def __init__(self, bundle: Bundle, backend: str, plugin_library: Path | None = None) -> None:
        super().__init__(bundle, RECORDS[backend])
        self._rebuild = rebuild_command(bundle, backend)
        self._library = PLUGINS.of_engine(self.record.details, plugin_library, self._rebuild)
        self._lock = Lock()
        self._running: tuple[CudaDevice, TensorRtRuntime] | None = None

    def open_stream(self) -> DeviceStream:
        """A new stream with empty state: its own contexts and buffers; no weights are copied.

        Raises:
            DependencyError: no library for CUDA is installed.
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
                files = {role: self.files.path(f"{role}.engine") for role in self._manifest.roles}
                with device.current():  # TensorRT takes the thread's GPU, which may be another one
                    runtime = TensorRtRuntime(
                        self.backend,
                        files,
                        self._manifest,
                        self._library,
                        host_code=VERSION_COMPATIBLE in self.record.options,
                        cache=self._cache(),
                    )
                self._running = device, runtime
        device, runtime = self._running
        # A stream's graphs never run at once, so they have one block.
        scratch = device.allocate((runtime.scratch_bytes,), "uint8")
        return DeviceStream(self._manifest, device, partial(runtime.create_context, scratch=scratch))

    def _cache(self) -> RuntimeCache | None:
        if self.backend != TENSORRT_RTX.name:
            return None
        path = cache_file(file.sha256 for file in self.record.files.values())
        return RuntimeCache(path) if path else None


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
