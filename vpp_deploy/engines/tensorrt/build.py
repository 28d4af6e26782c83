"""Building TensorRT and TensorRT-RTX engines without letting their libraries into this process.

The work is done by `vpp_deploy.engines.tensorrt.worker` in a child process. TensorRT-RTX builds on any machine, also
without a GPU, for the compute capabilities that are named. TensorRT builds for the GPU that it runs on; that path is
written against the documented API and has not been run yet.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from vpp_deploy.engines.backend import BuildProgress
from vpp_deploy.engines.tensorrt import RECORDS
from vpp_deploy.engines.tensorrt.build_contract import BuildReport, BuildRequest, FailureKind
from vpp_deploy.engines.tensorrt.log import explain, last_words, names_missing_gpu
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions
from vpp_deploy.engines.tensorrt.plugins import NO_PLUGINS, Plugins
from vpp_deploy.errors import (
    BuildError,
    DependencyError,
    DeviceError,
    OutputError,
    PluginError,
    UsageError,
    VppDeployError,
)
from vpp_deploy.files.temporary import temporary_folder

_WORKER: Final = "vpp_deploy.engines.tensorrt.worker"
_DEFAULTS: Final = TensorRtBuildOptions()
_ERRORS: Final[dict[FailureKind, type[VppDeployError]]] = {
    "dependency": DependencyError,
    "usage": UsageError,
    "output": OutputError,
    "plugin": PluginError,
}


def build_tensorrt_engine(
    onnx_path: Path,
    engine_path: Path,
    *,
    backend: str,
    options: TensorRtBuildOptions = _DEFAULTS,
    plugins: Plugins = NO_PLUGINS,
    log: Path | None = None,
    progress: BuildProgress = lambda step, share: None,
) -> BuildReport:
    """Build an engine file from an ONNX graph.

    Args:
        onnx_path: the graph, with static shapes, and its weights inside or next to it. Its `vpp` nodes are lowered, but
            for those that stand for plugins (see `vpp_deploy.ops.lower`).
        engine_path: the file to write, replacing an older one. It appears complete or not at all.
        backend: `tensorrt` or `tensorrt-rtx`.
        options: how to build; its choice of plugins is made already.
        plugins: what `vpp` nodes stand for.
        log: where to keep the builder's complete log, also of a failed build.
        progress: called with the builder's name of a step and the share of it that is done.

    Raises:
        UsageError: an unknown backend or compute capability, or an option that the backend does not have.
        DependencyError: polygraphy or the backend's package is not installed or does not load.
        DeviceError: TensorRT found no GPU.
        PluginError: the plugin library does not load.
        BuildError: the graph is missing, the builder rejected it, it took a node for something else than a plugin, or
            it crashed.
        OutputError: the engine or the log cannot be written.
    """
    check_options(backend, options)
    if not onnx_path.is_file():
        raise BuildError(f"cannot build an engine from {onnx_path}: there is no such file; export the bundle again")
    try:
        with temporary_folder(engine_path) as folder:
            work = folder.absolute()
            request = BuildRequest(
                onnx_path=str(onnx_path.absolute()),
                engine_path=str(work / "engine"),
                backend=backend,
                compute_capabilities=tuple(dict.fromkeys(options.compute_capabilities)),
                workspace_bytes=options.workspace_bytes,
                timing_cache=str(options.timing_cache.absolute()) if options.timing_cache else None,
                tf32=options.tf32,
                hardware_compatible=options.hardware_compatible,
                version_compatible=options.version_compatible,
                plugins=plugins.form,
                plugin_library=str(plugins.library.path.absolute()) if plugins.library else None,
            )
            report = _run(request, work, log or work / "log", progress)
            os.replace(work / "engine", engine_path)
    except OSError as error:
        raise OutputError(f"cannot write the engine {engine_path}: {error}") from error
    return report


def check_options(backend: str, options: TensorRtBuildOptions) -> None:
    """See that a builder has what is asked of it.

    Raises:
        UsageError: an unknown backend, or an option that it does not have.
    """
    if backend not in RECORDS:
        raise UsageError(f"there is no builder {backend!r}: use {' or '.join(RECORDS)}")
    if backend == "tensorrt" and options.compute_capabilities:
        raise UsageError(
            f"TensorRT builds for the GPU that it runs on: drop the compute capabilities "
            f"{', '.join(options.compute_capabilities)} or use tensorrt-rtx"
        )
    if backend == "tensorrt-rtx" and options.hardware_compatible:
        raise UsageError("TensorRT-RTX engines are for GPU generations, not for one GPU: drop hardware compatible")
    if backend == "tensorrt-rtx" and options.version_compatible:
        raise UsageError("TensorRT-RTX has no version compatible engines: drop it, or use tensorrt")


def _run(request: BuildRequest, work: Path, log_path: Path, progress: BuildProgress) -> BuildReport:
    """Run the worker in the folder `work`, so that what a crash drops is removed with it."""
    answer: dict[str, Any] = {}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", _WORKER, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=work,
            env=_environment(request, work),
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with suppress(BrokenPipeError), process.stdin:  # it ended before it read, and the log says why
                    process.stdin.write(json.dumps(asdict(request)).encode())
                for line in process.stdout:
                    message = json.loads(line)
                    if "progress" in message:
                        progress(*message["progress"])
                    else:
                        answer = message
            except BaseException:  # Ctrl-C among them: nobody waits for the engine any more
                process.kill()
                raise
    if process.returncode == 0:
        if "report" in answer:
            fields: dict[str, Any] = answer["report"]
            return BuildReport(**fields | {"compute_capabilities": tuple(fields["compute_capabilities"])})
        failure = answer["failure"]
        if failure["kind"] == "graph":
            raise BuildError(
                f"{RECORDS[request.backend].title} could not build {request.onnx_path}: {failure['message']}"
            )
        if failure["kind"] in _ERRORS:
            raise _ERRORS[failure["kind"]](failure["message"])
    raise _build_error(request, process.returncode, log_path.read_text(encoding="utf-8", errors="replace"))


def _environment(request: BuildRequest, work: Path) -> dict[str, str]:
    package_root = str(Path(__file__).parents[3])
    search_path = filter(None, [os.environ.get("PYTHONPATH"), package_root])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search_path), "PYTHONIOENCODING": "utf-8"}
    if request.backend == "tensorrt-rtx" and request.plugin_library:
        folders = filter(None, [_unversioned_rtx(work), os.environ.get("LD_LIBRARY_PATH")])
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    return environment


def _unversioned_rtx(work: Path) -> str | None:
    """A folder with `libtensorrt_rtx.so`: the parser opens that name for a plugin, and the wheel has only `.so.1`."""
    package = importlib.util.find_spec("tensorrt_rtx_libs")
    places = [Path(place) for place in package.submodule_search_locations or ()] if package else []
    library = next((path for place in places for path in sorted(place.glob("libtensorrt_rtx.so.*"))), None)
    if library is None:  # installed in another way, in which the name may well be there
        return None
    folder = work / "libraries"
    folder.mkdir()
    (folder / "libtensorrt_rtx.so").symlink_to(library.resolve())
    return str(folder)


def _build_error(request: BuildRequest, status: int, log: str) -> VppDeployError:
    """The error for a build that the builder refused (status 0) or that ended the worker."""
    product = RECORDS[request.backend].title
    what = f"{product} could not build {request.onnx_path}"
    if status < 0:
        cause = signal.strsignal(-status) or f"signal {-status}"
        advice = "most likely memory ran out" if -status == signal.SIGKILL else f"try another {product} version"
        words = last_words(log) or "it gave no reason"
        return BuildError(f"{what}: its builder crashed ({cause}; {words}): {advice}")
    if request.backend == "tensorrt" and names_missing_gpu(log):
        return DeviceError(f"{what}: it builds for the GPU that it runs on and found none; use a GPU machine")
    return BuildError(f"{what}: {explain(log)}")
