"""Exporting a model of plain tensors, with or without a state, and its PyTorch reference.

The module is called as `module(*inputs)` on the first frame of a stream and as `module(*inputs, *state)` on every later
one, and gives `(*outputs, *state)`: a pure function, whose state the caller carries on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.manifest import AT_ONCE, FRAME_BY_FRAME, GraphRole, ModelSpec, WeightsProvenance
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.protocols import Array, HostStream
from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.checkpoint import check_weights, in_float32
from vpp_deploy.exporters.graphs import WEIGHTS_FILE, graph_specs, provenance, write_graphs
from vpp_deploy.exporters.refusals import refusals_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.signature import GraphSignature, state_specs, tensor_spec
from vpp_deploy.exporters.trace import trace


@dataclass(frozen=True)
class TensorModel:
    """A model of plain tensors with its weights, and what a bundle says of it.

    Attributes:
        module: see above; in evaluation mode. Its state dict is stored under its own names.
        name: with the family's prefix.
        family: of the model.
        inputs: an example of each input by name, in the order of the module's arguments; shapes are fixed by it. Types:
            float32, int32, uint8, bool.
        outputs: names, in the order of the module's results.
        state: names of the state tensors, in the order in which they follow the outputs; none of a model without state.
        keep: tokens to keep, as the family writes it.
        config: from which the family makes the module again.
        weights: where they come from.
    """

    module: nn.Module
    name: str
    family: str
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    state: Sequence[str]
    keep: str
    config: Mapping[str, Any]
    weights: WeightsProvenance


def export_tensors(request: ExportRequest, make: Callable[[], TensorModel]) -> Bundle:
    """Export a model of plain tensors: its graphs, their shared weights and the manifest.

    Args:
        request: what was asked for.
        make: makes the model with its weights; called when it is known that the bundle can be written.

    Raises:
        ExportError: the module does not give what its names say, PyTorch cannot trace it, a weight is beyond the range
            of the precision, or a backend could not run a graph.
        OutputError: the bundle cannot be written.
    """
    with BundleWriter(request.out, overwrite=request.overwrite) as writer:
        request.progress("loading weights")
        model = make()
        check_weights(model.module, model.name, request.allow_nonfinite)
        model = replace(model, module=in_float32(model.module).requires_grad_(False).eval())
        module = model.module
        graphs: dict[GraphRole, tuple[Any, GraphSignature]] = {}
        for signed in _signatures(model):
            request.progress(f"tracing the {signed.role} graph")
            graphs[signed.role] = trace(_Flat(module), signed, model.name, "module"), signed
        request.progress("writing the bundle")
        state_dict = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        write_graphs(writer, graphs, state_dict, request.precision)
        return writer.commit(
            lambda files: TensorsManifest(
                model=ModelSpec(
                    name=model.name,
                    family=model.family,
                    task=TensorsManifest.task,
                    keep_schedule=model.keep,
                    dataset="",
                    config=dict(model.config),
                ),
                precision=request.precision,
                graphs=graph_specs(graphs),
                state=next(reversed(graphs.values()))[1].state,
                weights_file=WEIGHTS_FILE,
                provenance=provenance(model.weights),
                files=dict(files),
            )
        )


class TensorsReference(LoadedEngine):
    """The PyTorch reference of a bundle of plain tensors. Runs on the CPU in float32.

    Args:
        bundle: whose reference.
        module: what was exported, with the weights of the bundle's weights file.

    Raises:
        UsageError: the bundle is for another task.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle, module: nn.Module) -> None:
        manifest = TensorsManifest.of(bundle.manifest, "the reference of a model of plain tensors")
        super().__init__(manifest)
        self._bundle = bundle
        self._module = module.requires_grad_(False).eval()
        self._inputs = [spec.name for spec in manifest.inputs]
        self._outputs = [*(spec.name for spec in manifest.outputs), *(state.output for state in manifest.state)]

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self.manifest, self._run_graph)

    def _run_graph(self, role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        states = [state.input for state in self.manifest.state] if role == "step" else []
        arguments = [torch.from_numpy(feed[name]) for name in (*self._inputs, *states)]
        with torch.inference_mode(), refusals_of(self._bundle):
            results = dict(zip(self._outputs, _tuple(self._module(*arguments)), strict=True))
        return [results[name].numpy() for name in names]


class _Flat(nn.Module):
    """The module, giving a tuple also where it has one result."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _tuple(self.module(*tensors))


def _tuple(results: Any) -> tuple[Tensor, ...]:
    return tuple(results) if isinstance(results, tuple | list) else (results,)


def _signatures(model: TensorModel) -> list[GraphSignature]:
    examples = tuple(model.inputs.values())
    with torch.no_grad():
        first = _results(model, examples)
        states = first[len(model.outputs) :]
        if model.state:
            later = _results(model, (*examples, *states))
            _check_alike(model, first, later)
    inputs = tuple(tensor_spec(name, tensor) for name, tensor in model.inputs.items())
    outputs = tuple(tensor_spec(name, tensor) for name, tensor in zip(model.outputs, first, strict=False))
    specs = state_specs(model.state, states)
    roles = FRAME_BY_FRAME if model.state else AT_ONCE
    return [
        GraphSignature(role, inputs, outputs, specs, (*examples, *(states if role == "step" else ()))) for role in roles
    ]


def _results(model: TensorModel, arguments: Sequence[Tensor]) -> tuple[Tensor, ...]:
    results = _tuple(model.module(*arguments))
    names = [*model.outputs, *model.state]
    if len(results) != len(names):
        raise ExportError(f"{model.name} gives {len(results)} tensors, and {len(names)} are named: {', '.join(names)}")
    for name, result in zip(names, results, strict=True):
        if not isinstance(result, Tensor):
            raise ExportError(f"{model.name} gives {name} as {type(result).__name__}; it must be a tensor")
        if not result.numel():
            raise ExportError(f"{model.name} gives {name} as an empty tensor {list(result.shape)}; leave it out")
    return results


def _check_alike(model: TensorModel, first: Sequence[Tensor], later: Sequence[Tensor]) -> None:
    for name, one, other in zip((*model.outputs, *model.state), first, later, strict=True):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            raise ExportError(
                f"{model.name}: {name} is {one.dtype} {list(one.shape)} on the first frame and {other.dtype} "
                f"{list(other.shape)} later; shapes and types must not change"
            )
