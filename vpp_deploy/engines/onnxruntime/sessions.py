"""ONNX Runtime's sessions: what they are opened with, and its own exceptions as ours. The only place that calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.engines.denormals import controlled, denormals_as_zero
from vpp_deploy.engines.engine_files import EngineFiles
from vpp_deploy.engines.graph_check import engine_graph_problems
from vpp_deploy.engines.onnxruntime.native_library import COMPILE_COMMAND, NativeLibrary
from vpp_deploy.engines.protocols import Array
from vpp_deploy.engines.runtime_errors import is_raised_by
from vpp_deploy.errors import IncompatibleEngineError, PluginError, VppDeployError
from vpp_deploy.files import interrupts
from vpp_deploy.files.names import utf8_name
from vpp_deploy.machine import available_processors

Provider = str | tuple[str, Mapping[str, str]]
CPU: Final = "CPUExecutionProvider"
_WRONG: Final = ["ReluQuantRewrite"]
"""It drops a Relu before QuantizeLinear where the zero point is the type's lowest value, and takes FP8's 0 for that."""
_SLOW: Final = ["SkipLayerNormFusion"]
"""On the processor alone. Slower than what it fuses: 2.7 ms instead of 0.9 ms on [5040, 256]; without it a step takes
4 % less time.
"""


def session_options(threads: int | None, profile: Path | None = None) -> Any:
    """Options of every session; None takes all processors that this process may use."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # nothing but its end: what it raises is told as an error of ours
    # Workers that wait for the next run must not take the processors from what runs between two frames.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # ONNX Runtime's own default counts cores, and overlooks affinities.
    options.intra_op_num_threads = threads or available_processors()
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return options


def add_native_ops(options: Any, library: NativeLibrary) -> None:
    """Give sessions with these options the native ops of a library, which is loaded.

    Raises:
        PluginError: it does not load.
    """
    what = f"cannot load the library of native ops {library.path}"
    with (
        translated(PluginError, what, f"; make it on this machine: {COMPILE_COMMAND}"),
        utf8_name(library.path.absolute()) as name,
    ):
        options.register_custom_ops_library(name)


@contextmanager
def translated(error: type[VppDeployError], what: str, advice: str = "") -> Iterator[None]:
    """Turn whatever ONNX Runtime raises in the block into one error of ours, on one line; other errors pass.

    Args:
        error: the kind.
        what: what could not be done, the begin of the sentence.
        advice: the end of it.
    """
    try:
        yield
    except Exception as reason:  # its own types have no common public base
        if not is_raised_by(reason, "onnxruntime"):
            raise
        words = " ".join((str(reason).strip() or type(reason).__name__).partition("\n")[0].split())
        raise error(f"ONNX Runtime {onnxruntime.__version__} {what}: {words:.300}{advice}") from reason


class Session:
    """A graph, loaded.

    Args:
        model: its file, or its content, whose external data is then in `folder`.
        options: see `session_options`; not used again.
        provider: what runs it, with options of its own.
        folder: where external data is; None: next to the file.
        error: the kind of error of whatever goes wrong, now and later.
        label: what it is, for messages.
        advice: what to do then, for messages.
        without: names of optimisations that are left out.
    """

    def __init__(
        self,
        model: Path | bytes,
        options: Any,
        provider: Provider = CPU,
        *,
        folder: Path | None = None,
        without: Sequence[str] = (),
        error: type[VppDeployError],
        label: str,
        advice: str = "",
    ) -> None:
        self._error, self._label, self._advice = error, label, advice
        if folder is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        if controlled():  # for the threads that it makes; the process's first session sets this one too, for good
            options.add_session_config_entry("session.set_denormal_as_zero", "1")
        with self.translated(f"cannot load {label}"), denormals_as_zero():
            self.native: Any = onnxruntime.InferenceSession(
                model,
                options,
                providers=[provider],
                disabled_optimizers=[*_WRONG, *(_SLOW if provider == CPU else []), *without],
            )

    def run(self, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """Outputs in the order of the names."""
        with self.translated(f"cannot run {self._label}"), denormals_as_zero():
            outputs: list[Array] = self.native.run(names, feed)
            return outputs

    def translated(self, what: str) -> Any:
        """See `translated`; of this session's kind of error."""
        return translated(self._error, what, self._advice)


def load_graph(
    files: EngineFiles,
    manifest: Manifest,
    role: GraphRole,
    options: Any,
    provider: Provider = CPU,
    *,
    library: NativeLibrary | None = None,
) -> Session:
    """A graph of an engine, checked against the manifest.

    Args:
        files: the engine's.
        manifest: of its bundle.
        role: which graph.
        options: see `session_options`.
        provider: what runs it, with options of its own.
        library: the native ops that the engine was built with.

    Raises:
        PluginError: the library does not load.
        IncompatibleEngineError: the graph is damaged, or not what the manifest says.
    """
    name = f"{role}.onnx"
    label = f"the engine file {files.folder / name}"
    content = files.read(name)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        interrupts.let_pass(error)
        raise IncompatibleEngineError(f"{label} is not an ONNX file{files.advice}") from error
    for problem in engine_graph_problems(model, manifest, role, files.sizes, native=library is not None):
        raise IncompatibleEngineError(f"{label} {problem}{files.advice}")
    if library:
        add_native_ops(options, library)
    with utf8_name(files.folder.resolve() / name) as known:
        return Session(
            content,
            options,
            provider,
            folder=Path(known).parent,
            error=IncompatibleEngineError,
            label=label,
            advice=files.advice,
        )
