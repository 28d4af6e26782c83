"""ONNX Runtime on the CPU: the embedded default, which runs wherever the package is installed."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import onnxruntime

from vpp_deploy.bundle.external_data import externalize
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines import backends_for
from vpp_deploy.engines.backend import BuildProgress
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer, rebuild_command
from vpp_deploy.engines.fingerprint import option_texts
from vpp_deploy.engines.loaded import BuiltEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.onnxruntime import BACKEND
from vpp_deploy.engines.onnxruntime.integer_products import add_biases, make_activations_unsigned
from vpp_deploy.engines.onnxruntime.native_library import NATIVE_OPS, NativeLibrary
from vpp_deploy.engines.onnxruntime.native_ops import NODES, OPTION, choose, native_nodes
from vpp_deploy.engines.onnxruntime.options import OnnxRuntimeBuildOptions, OnnxRuntimeLoadOptions
from vpp_deploy.engines.onnxruntime.sessions import Session, add_native_ops, load_graph, session_options
from vpp_deploy.engines.protocols import HostStream
from vpp_deploy.errors import BuildError
from vpp_deploy.files import interrupts
from vpp_deploy.files.names import utf8_name

_WEIGHTS_FILE = "weights.safetensors"
_SCRATCH_WEIGHTS = "optimised.weights"
_HINDER_INT8 = ("MatMulAddFusion",)
"""Optimisations that come before products are made INT8, and after which those with a bias cannot be any more."""


@dataclass(frozen=True)
class OnnxRuntimeBuild:
    """A build of both graphs of a bundle."""

    bundle: Bundle
    options: OnnxRuntimeBuildOptions

    @cached_property
    def _nodes(self) -> dict[GraphRole, int]:
        return native_nodes(self.bundle)

    @cached_property
    def _library(self) -> NativeLibrary | None:
        return choose(self.bundle, self.options, self._nodes)

    @property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built.

        Raises:
            UsageError, PluginError, BundleError: see `vpp_deploy.engines.onnxruntime.native_ops.choose`.
        """
        options = option_texts(**{OPTION: self._library and self._library.fingerprint})
        return EngineRecord.wanted(self.bundle, BACKEND, machine=platform.machine(), options=options)

    def run(self, progress: BuildProgress = lambda step, share: None) -> None:
        """Lower the graphs, optimise them offline, and store them with one weights file in the bundle.

        The optimisations saved are those that do not depend on the processor; the others happen when the engine loads.

        Raises:
            BundleError: a graph is not what the manifest says, or needs more memory than is allowed.
            PluginError: the library of native ops does not load.
            BuildError: ONNX Runtime refuses a graph, as it does those of bfloat16.
            OutputError: the bundle cannot be written to.
        """
        bundle = self.bundle
        with engine_writer(bundle, BACKEND.name) as (folder, finish):
            optimised = {
                role: _optimise(bundle, role, folder / f"{role}.onnx", self._library) for role in bundle.manifest.roles
            }
            externalize({str(role): model for role, model in optimised.items()}, folder / _WEIGHTS_FILE)
            for role, model in optimised.items():
                onnx.save(model, folder / f"{role}.onnx")
            nodes = {role: len(model.graph.node) for role, model in optimised.items()}
            details = {"nodes": nodes, NODES: self._nodes}
            if self._library:
                details |= NATIVE_OPS.to_details(self._library)
            finish(self.wanted.model_copy(update={"details": details}))


def load(bundle: Bundle, options: OnnxRuntimeLoadOptions) -> OnnxRuntimeEngine:
    """Load the engine that a bundle has; see `OnnxRuntimeEngine`."""
    return OnnxRuntimeEngine(bundle, options.threads, native_library=options.native_library)


def _optimise(bundle: Bundle, role: GraphRole, scratch: Path, library: NativeLibrary | None) -> onnx.ModelProto:
    options = session_options(threads=None)
    if library:
        add_native_ops(options, library)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _SCRATCH_WEIGHTS)
    label = f"the {role} graph of {bundle.path}"
    with (
        lowered_graph(bundle, role, scratch.parent, BACKEND.name, plugins="native" if library else None) as lowered,
        utf8_name(lowered) as source,
        utf8_name(scratch) as target,
    ):
        options.optimized_model_filepath = target
        without: tuple[str, ...] = ()
        is_int8 = bundle.manifest.precision == "int8"
        if is_int8:
            make_activations_unsigned(lowered)
            without = _HINDER_INT8
        Session(Path(source), options, error=BuildError, label=label, advice=_advice(bundle), without=without)
        try:
            optimised = onnx.load(target)
        except Exception as error:  # protobuf's own
            interrupts.let_pass(error)
            reason = " ".join(str(error).split())
            raise BuildError(f"ONNX Runtime did not store {label} as ONNX ({reason:.200}){_advice(bundle)}") from error
        if is_int8:
            add_biases(optimised)
    (scratch.parent / _SCRATCH_WEIGHTS).unlink(missing_ok=True)
    return optimised


def _advice(bundle: Bundle) -> str:
    precision = bundle.manifest.precision
    if precision not in BACKEND.lacks:
        return ""
    return (
        f"; its CPU provider lacks kernels for {precision}: make the bundle with --precision float16 or float32, or "
        f"build for {' or '.join(backends_for(precision))}"
    )


class OnnxRuntimeEngine(BuiltEngine):
    """A bundle's ONNX Runtime engine, loaded once and shared by all streams.

    Args:
        bundle: a bundle with a built engine.
        threads: threads per frame; None takes all processors that this process may use.
        profile: a file name prefix; ONNX Runtime then writes a profile per graph there (see `end_profiling`).
        native_library: where the library of native ops is, if the engine was built with one; None: look in
            `$VPP_DEPLOY_ONNXRUNTIME_OPS`.

    Raises:
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle, this version or this machine.
        PluginError: the library that it was built with was not found, or does not load.
        BundleError: the bundle needs more memory than is allowed.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        profile: Path | None = None,
        *,
        native_library: Path | None = None,
    ) -> None:
        super().__init__(bundle, BACKEND)
        library = NATIVE_OPS.of_engine(self.record.details, native_library, rebuild_command(bundle, BACKEND.name))

        def load_role(role: GraphRole) -> Session:
            options = session_options(threads, profile and profile.with_name(f"{profile.name}-{role}"))
            return load_graph(self.files, bundle.manifest, role, options, library=library)

        roles = bundle.manifest.roles
        with ThreadPoolExecutor(len(roles)) as pool:  # ONNX Runtime loads outside of Python's lock
            self._sessions: dict[GraphRole, Session] = dict(zip(roles, pool.map(load_role, roles), strict=True))

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self._manifest, lambda role, names, feed: self._sessions[role].run(names, feed))

    def end_profiling(self) -> dict[GraphRole, Path]:
        """Stop profiling and give each graph's profile file."""
        return {role: Path(session.native.end_profiling()) for role, session in self._sessions.items()}
