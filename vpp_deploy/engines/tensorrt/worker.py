"""Builds one TensorRT or TensorRT-RTX engine, as a process of its own.

`python -m vpp_deploy.engines.tensorrt.worker PID < request.json` reads a `BuildRequest` and answers with lines of JSON:
any number of `{"progress": [step, share]}`, then `{"report": …}` (`BuildReport`) or
`{"failure": {"kind": …, "message": …}}`; everything that the vendor's libraries print goes to standard error. PID is
the process that asks; however that one ends, this one does too. A separate process, because polygraphy chooses between
TensorRT and TensorRT-RTX when it is imported, and because the builder's memory and its crashes must not be the
caller's. Call it through `vpp_deploy.engines.tensorrt.build`. Only functions import the vendor's packages, so that
importing this module is free.

The TensorRT-RTX path runs in the tests. The `tensorrt` path follows the documented API and has not been run yet.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Final, TextIO

import onnx

from vpp_deploy.engines.backend import Backend, BuildProgress
from vpp_deploy.engines.tensorrt import RECORDS, embedded_plugins
from vpp_deploy.engines.tensorrt.build_contract import BuildReport, BuildRequest, FailureKind
from vpp_deploy.engines.tensorrt.plugin_library import PluginLibrary, load_into
from vpp_deploy.errors import PluginError
from vpp_deploy.files.names import utf8_name
from vpp_deploy.machine import end_with_parent
from vpp_deploy.ops import DOMAIN

_REPORT_SECONDS: Final = 0.1


class WorkerError(Exception):
    """Why nothing was built. For kind `build` the log on standard error says more."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def build(request: BuildRequest, progress: BuildProgress = lambda step, share: None) -> BuildReport:
    """Parse, build and write one engine.

    Args:
        request: what to build.
        progress: called with the builder's name of a step and the share of it that is done; from any thread.

    Raises:
        WorkerError: a package is missing, the request cannot be met, or the builder gave up.
    """
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if request.backend == "tensorrt-rtx" else "0"
    os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
    record = RECORDS[request.backend]
    trt = _import(record.module, record)
    polygraphy = _import("polygraphy", record)
    capabilities = _known_capabilities(trt, request) if request.backend == "tensorrt-rtx" else []

    from polygraphy.backend.trt import engine_bytes_from_network, network_from_onnx_path
    from polygraphy.exception import PolygraphyException

    if request.plugins is not None:
        _load_plugins(trt, request)
    begin = time.perf_counter()
    try:
        with utf8_name(Path(request.onnx_path)) as known:
            builder, network, parser = network_from_onnx_path(known, strongly_typed=True)
        _check_static(network)
        types = [network.get_layer(index).type.name for index in range(network.num_layers)]
        plugin_layers = sum(name.startswith("PLUGIN") for name in types)
        if request.plugins is not None:
            _check_plugins(request, plugin_layers)
        engine = engine_bytes_from_network(
            (builder, network, parser),
            config=_config(trt, builder, network, capabilities, request, progress),
            save_timing_cache=request.timing_cache,
        )
    except PolygraphyException as error:
        raise WorkerError("build", str(error)) from error
    seconds = time.perf_counter() - begin

    try:
        size = Path(request.engine_path).write_bytes(memoryview(engine))
    except OSError as error:
        raise WorkerError("output", f"cannot write the engine: {error.strerror or error}") from error
    return BuildReport(
        backend=request.backend,
        version=trt.__version__,
        polygraphy=polygraphy.__version__,
        compute_capabilities=request.compute_capabilities,
        layers=len(types),
        plugin_layers=plugin_layers,
        engine_bytes=size,
        scratch_bytes=_scratch_bytes(trt, engine) if request.backend == "tensorrt" else None,
        seconds=seconds,
    )


def _import(name: str, record: Backend) -> ModuleType:
    install = f"pip install 'vpp-deploy[{record.extra}]'"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise WorkerError("dependency", f"{error.name} is not installed: {install}") from error
    except (ImportError, OSError, RuntimeError) as error:  # NVIDIA's packages load shared libraries on import
        reason = " ".join(str(error).split())
        raise WorkerError("dependency", f"{name} is installed but does not load ({reason}): {install}") from error


def _known_capabilities(trt: Any, request: BuildRequest) -> list[tuple[int, int]]:
    """The requested targets as (major, minor), checked against what this TensorRT-RTX knows (`SM89` is 8.9)."""
    digits = [name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    known = {f"{number[:-1]}.{number[-1]}": (int(number[:-1]), int(number[-1])) for number in digits}
    for capability in request.compute_capabilities:
        if capability not in known:
            raise WorkerError(
                "usage",
                f"TensorRT-RTX {trt.__version__} has no compute capability {capability!r}: use {', '.join(known)}",
            )
    return [known[capability] for capability in request.compute_capabilities]


def _check_static(network: Any) -> None:
    """Polygraphy would silently set dynamic dimensions to 1."""
    for tensor in map(network.get_input, range(network.num_inputs)):
        if -1 in (shape := tuple(tensor.shape)):
            raise WorkerError("graph", f"input {tensor.name!r} has the dynamic shape {shape}: export static shapes")


def _load_plugins(trt: Any, request: BuildRequest) -> None:
    try:
        if request.plugin_library is not None:
            load_into(trt, request.backend, PluginLibrary.read(Path(request.plugin_library)))
        else:
            embedded_plugins.register(trt, importlib.import_module("tensorrt.plugin"))
    except (PluginError, ImportError, ValueError) as error:
        raise WorkerError("plugin", f"{error}; or build without plugins: --plugins none") from error


def _check_plugins(request: BuildRequest, plugin_layers: int) -> None:
    """A parser that finds another meaning for a node (a model-local function) takes that, and says nothing."""
    graph = onnx.load(request.onnx_path, load_external_data=False).graph
    nodes = sum(node.domain == DOMAIN for node in graph.node)
    if plugin_layers != nodes:
        raise WorkerError(
            "graph",
            f"its parser made {plugin_layers} plugin layers of {nodes} {DOMAIN} nodes; build without plugins, and "
            "report this",
        )


def _config(
    trt: Any,
    builder: Any,
    network: Any,
    capabilities: list[tuple[int, int]],
    request: BuildRequest,
    progress: BuildProgress,
) -> Any:
    options: dict[str, Any] = {
        "load_timing_cache": request.timing_cache,
        "progress_monitor": _progress_monitor(trt, progress),
    }
    if request.workspace_bytes is not None:
        options["memory_pool_limits"] = {trt.MemoryPoolType.WORKSPACE: request.workspace_bytes}
    if request.backend == "tensorrt":
        from polygraphy.backend.trt import create_config

        if request.hardware_compatible:
            options["hardware_compatibility_level"] = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        options["version_compatible"] = request.version_compatible
        return create_config(builder, network, tf32=request.tf32, **options)

    from polygraphy.backend.tensorrt_rtx import create_config_rtx

    config = create_config_rtx(builder, network, compute_capabilities=capabilities or None, **options)
    # Or it may allocate while it runs, and what allocates cannot be captured in CUDA graphs.
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if not request.tf32:  # on by default, and polygraphy has no switch for it here
        config.clear_flag(trt.BuilderFlag.TF32)
    return config


def _progress_monitor(trt: Any, progress: BuildProgress) -> Any:
    """TensorRT's own interface to what it is doing. Phases nest, and threads report at the same time."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, (step + 1) / max(1, self.steps.get(phase_name, 1)))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()


def _scratch_bytes(trt: Any, engine: Any) -> int | None:
    """Memory for intermediate tensors; the engine has to be loaded to tell."""
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    runtime.engine_host_code_allowed = True  # in version compatible engines; this one was made here
    loaded = runtime.deserialize_cuda_engine(memoryview(engine))
    return None if loaded is None else int(loaded.device_memory_size_v2)


def _take_over_standard_output() -> TextIO:
    """Send whatever Python or C++ code prints to standard error; what comes back leads to the real standard output."""
    sys.stdout.flush()
    reply = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return reply


class _Reporter:
    """Sends progress as lines of JSON: whole percents, and not more often than anyone looks."""

    def __init__(self, reply: TextIO) -> None:
        self._reply, self._lock = reply, Lock()
        self._sent = 0.0

    def __call__(self, step: str, share: float) -> None:
        with self._lock:
            if time.monotonic() - self._sent > _REPORT_SECONDS:
                self._sent = time.monotonic()
                print(json.dumps({"progress": [step, round(share, 2)]}), file=self._reply, flush=True)


def main() -> None:
    """Answer the request on standard input."""
    end_with_parent(int(sys.argv[1]))
    with _take_over_standard_output() as reply:
        fields = json.load(sys.stdin)
        request = BuildRequest(**fields | {"compute_capabilities": tuple(fields["compute_capabilities"])})
        try:
            answer = {"report": asdict(build(request, _Reporter(reply)))}
        except WorkerError as error:
            answer = {"failure": {"kind": error.kind, "message": str(error)}}
        print(json.dumps(answer), file=reply)


if __name__ == "__main__":
    main()
