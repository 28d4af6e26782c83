"""ONNX Runtime on the CPU: the embedded default, which runs wherever the package is installed."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.weights import externalize
from vpp_deploy.engine import HostStream
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.store import EngineRecord, engine_writer, read_record, source_hashes
from vpp_deploy.errors import BuildError
from vpp_deploy.frames import Size
from vpp_deploy.processors import available_processors

BACKEND = "onnxruntime"
_PROVIDER = "CPUExecutionProvider"
_WEIGHTS_FILE = "weights.safetensors"
_SCRATCH_WEIGHTS = "optimised.weights"
_DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]
"""Slower than what it fuses: 2.7 ms instead of 0.9 ms on [5040, 256]; without it a step takes 4 % less time."""


def wanted(bundle: Bundle) -> EngineRecord:
    """The record of an engine that would be built now."""
    return EngineRecord(
        backend=BACKEND,
        backend_version=onnxruntime.__version__,
        precision=bundle.manifest.precision,
        machine=platform.machine(),
        source=source_hashes(bundle),
        files={},
    )


def build(bundle: Bundle) -> None:
    """Lower the graphs for ONNX Runtime, optimise them offline, and store them with one weights file in the bundle.

    The optimisations saved are those that do not depend on the processor; the others happen when the engine loads.

    Raises:
        BuildError: ONNX Runtime refuses a graph, as it does those of bfloat16.
        OutputError: the bundle cannot be written to.
    """
    with engine_writer(bundle, BACKEND) as (folder, finish):
        optimised = {phase: _optimise(bundle, phase, folder / f"{phase}.onnx") for phase in bundle.manifest.phases}
        externalize({str(phase): model for phase, model in optimised.items()}, folder / _WEIGHTS_FILE)
        for phase, model in optimised.items():
            onnx.save(model, folder / f"{phase}.onnx")
        nodes = {phase: len(model.graph.node) for phase, model in optimised.items()}
        finish(wanted(bundle).model_copy(update={"details": {"nodes": nodes}}))


def _optimise(bundle: Bundle, phase: Phase, scratch: Path) -> onnx.ModelProto:
    options = session_options(threads=None)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(scratch)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _SCRATCH_WEIGHTS)
    try:
        with lowered_graph(bundle, phase, scratch.parent, BACKEND) as lowered:
            new_session(lowered, options)
    except Exception as error:  # onnxruntime raises its own types, without a common public base
        reason = str(error).partition("\n")[0] + _advice(bundle)
        raise BuildError(f"ONNX Runtime {onnxruntime.__version__} cannot build the {phase} graph: {reason}") from error
    optimised = onnx.load(scratch)
    (scratch.parent / _SCRATCH_WEIGHTS).unlink(missing_ok=True)
    return optimised


def _advice(bundle: Bundle) -> str:
    if bundle.manifest.precision != "bfloat16":
        return ""
    return (
        "; its CPU provider lacks kernels for bfloat16: export with --precision float16 or float32, "
        "or build for tensorrt or tensorrt-rtx"
    )


def new_session(model: Path, options: Any, provider: str = _PROVIDER) -> Any:
    """A session on one provider, with the optimisations that pay."""
    return onnxruntime.InferenceSession(model, options, providers=[provider], disabled_optimizers=_DISABLED_OPTIMIZERS)


def session_options(threads: int | None, profile: Path | None = None) -> Any:
    """Options of every session; None takes all processors that this process may use."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: ours say what to do
    # Workers that wait for the next run must not take the processors from what runs between two frames.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # ONNX Runtime's own default counts cores, and overlooks affinities.
    options.intra_op_num_threads = threads or available_processors()
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return options


class OnnxRuntimeEngine:
    """A bundle's ONNX Runtime engine, loaded once and shared by all streams.

    Args:
        bundle: a bundle with a built engine.
        threads: threads per frame; None takes all processors that this process may use.
        profile: a file name prefix; ONNX Runtime then writes a profile per phase there (see `end_profiling`).

    Raises:
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle, this version or this machine.
    """

    backend = BACKEND

    def __init__(self, bundle: Bundle, threads: int | None = None, profile: Path | None = None) -> None:
        self._record = read_record(bundle, BACKEND, onnxruntime.__version__)
        self._manifest = bundle.manifest
        folder = bundle.engine_folder(BACKEND)
        self._sessions: dict[Phase, Any] = {
            phase: new_session(
                folder / f"{phase}.onnx",
                session_options(threads, profile and profile.with_name(f"{profile.name}-{phase}")),
            )
            for phase in bundle.manifest.phases
        }

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

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self._manifest, lambda phase, names, feed: self._sessions[phase].run(names, feed))

    def end_profiling(self) -> dict[Phase, Path]:
        """Stop profiling and give each phase's profile file."""
        return {phase: Path(session.end_profiling()) for phase, session in self._sessions.items()}
