"""OpenVINO's models: made of ONNX, read, compiled, run, and its exceptions as ours. Nothing else calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import openvino
from openvino import opset11
from openvino.passes import ConstantFolding, Manager

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.engines.denormals import controlled, denormals_as_zero
from vpp_deploy.engines.engine_files import EngineFiles
from vpp_deploy.engines.openvino.model_check import model_problems
from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions
from vpp_deploy.engines.protocols import Array
from vpp_deploy.engines.runtime_errors import is_raised_by
from vpp_deploy.errors import BuildError, DeviceError, IncompatibleEngineError, UsageError, VppDeployError
from vpp_deploy.files.names import utf8_name
from vpp_deploy.machine import available_processors

_ON_PROCESSOR: Final = "CPU"


@contextmanager
def translated(error: type[VppDeployError], what: str, advice: str = "") -> Iterator[None]:
    """Turn whatever OpenVINO raises in the block into one error of ours, on one line; other errors pass.

    Args:
        error: the kind.
        what: what could not be done, the begin of the sentence.
        advice: the end of it.
    """
    try:
        yield
    except Exception as reason:  # its own types have no common public base
        if not is_raised_by(reason, "openvino"):
            raise
        lines = [line.strip() for line in str(reason).splitlines()]
        told = " ".join(" ".join(line for line in lines if not line.startswith("Exception from ")).split())
        words = told or type(reason).__name__
        raise error(f"OpenVINO {_release()} {what}: {words:.300}{advice}") from reason


def store(graph: Path, target: Path, label: str) -> int:
    """Make OpenVINO's own form (IR) of an ONNX file.

    Args:
        graph: standard ONNX, its weights next to it.
        target: where to write the layers, `.xml`; their weights are written next to it, `.bin`.
        label: what it is, for messages.

    Returns:
        The number of layers.

    Raises:
        BuildError: OpenVINO refuses it.
    """
    with translated(BuildError, f"cannot build {label}"), utf8_name(graph) as source, utf8_name(target) as name:
        model = openvino.Core().read_model(source)
        _break_ties_by_position(model)
        # OpenVINO would do so at every load: 8 seconds where a position embedding is resized.
        passes = Manager()
        passes.register_pass(ConstantFolding())
        passes.run_passes(model)
        openvino.save_model(model, name, compress_to_fp16=False)
        return len(model.get_ops())


def _break_ties_by_position(model: openvino.Model) -> None:
    """ONNX orders equal values by their index; OpenVINO's reader of ONNX asks for no order among them."""
    for layer in model.get_ordered_ops():
        if layer.get_type_name() != "TopK":
            continue
        facts = layer.get_attributes()
        stable = opset11.topk(
            layer.input_value(0),
            layer.input_value(1),
            axis=facts["axis"],
            mode=facts["mode"],
            sort="value",  # without it there is no order to be kept
            index_element_type=facts["index_element_type"],
            stable=True,
        )
        stable.set_friendly_name(layer.get_friendly_name())
        for port in range(2):
            names = layer.output(port).get_names()
            layer.output(port).replace(stable.output(port))
            stable.output(port).add_names(names)


def settings(options: OpenVinoLoadOptions) -> dict[str, Any]:
    """What a model is compiled with.

    Raises:
        UsageError: threads for a device that has none of the processor's.
    """
    # Left to itself, it computes in bfloat16 where the processor can.
    chosen: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if options.device != _ON_PROCESSOR:
        if options.threads is not None:
            raise UsageError(f"threads is {options.threads} for the device {options.device!r:.40}; leave it out")
        return chosen
    return chosen | {
        # With two, OpenVINO 2026.4 computes the portable form of deformable attention wrongly.
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": options.threads or available_processors(),
        # Bound to processors, the threads of two engines would share some and leave others idle.
        "ENABLE_CPU_PINNING": False,
    }


def compiled(
    core: openvino.Core, model: openvino.Model, device: str, chosen: Mapping[str, Any]
) -> openvino.CompiledModel:
    """A model for a device, with `settings`. On processors, denormals are zero."""
    if device == _ON_PROCESSOR and controlled():  # it sets the mode of the thread that calls it, too, for good
        chosen = {**chosen, "CPU_DENORMALS_OPTIMIZATION": True}
    with denormals_as_zero():
        return core.compile_model(model, device, dict(chosen))


class Graph:
    """A graph, compiled.

    Args:
        native: OpenVINO's compiled model.
        label: what it is, for messages.
        advice: what to do when something is wrong, for messages.
    """

    def __init__(self, native: openvino.CompiledModel, label: str, advice: str) -> None:
        self._native, self._label, self._advice = native, label, advice

    def request(self) -> Request:
        """What runs it for one stream."""
        with translated(IncompatibleEngineError, f"cannot run {self._label}", self._advice):
            return Request(self._native.create_infer_request(), self._label, self._advice)


class Request:
    """Runs a graph, once at a time; see `Graph.request`."""

    def __init__(self, native: openvino.InferRequest, label: str, advice: str) -> None:
        self._native, self._label, self._advice = native, label, advice

    def run(self, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """Outputs in the order of the names, in memory of their own."""
        with translated(IncompatibleEngineError, f"cannot run {self._label}", self._advice):
            with denormals_as_zero():
                results = self._native.infer(dict(feed), share_outputs=False)
            return [results[name] for name in names]


def load_graph(
    files: EngineFiles, manifest: Manifest, role: GraphRole, options: OpenVinoLoadOptions, max_memory: int
) -> Graph:
    """A graph of an engine, checked against the manifest and compiled for the device.

    Args:
        files: the engine's.
        manifest: of its bundle.
        role: which graph.
        options: how it runs.
        max_memory: bytes that its tensors may take at once.

    Raises:
        DeviceError: OpenVINO finds no such device.
        UsageError: options that contradict each other.
        IncompatibleEngineError: the graph is damaged, or not what the manifest says.
    """
    layers, weights = files.path(f"{role}.xml").absolute(), files.path(f"{role}.bin").absolute()
    label = f"the engine file {layers}"
    chosen, core = settings(options), openvino.Core()
    if options.device not in (found := core.available_devices):
        raise DeviceError(
            f"OpenVINO {_release()} finds no device {options.device!r:.40} here; it has {', '.join(found) or 'none'}"
        )
    with translated(IncompatibleEngineError, f"cannot load {label}", files.advice):
        with utf8_name(layers) as source, utf8_name(weights) as data:
            model = core.read_model(source, data)
        for problem in model_problems(model, manifest, role, files.sizes[weights.name], max_memory):
            raise IncompatibleEngineError(f"{label} {problem}{files.advice}")
        return Graph(compiled(core, model, options.device, chosen), label, files.advice)


def _release() -> str:
    return str(openvino.__version__).partition("-")[0]
