"""A bundle's graph, what it means, and parts of it as bundles of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from vpp_deploy.bundle.external_data import externalize
from vpp_deploy.bundle.manifest import DType, GraphRole, GraphSpec, ModelSpec, TensorSpec
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.engines.protocols import Array

_CARRIED: Final[Mapping[int, DType]] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}
"""What a graph of a bundle can take and give; a part does not begin or end at anything else."""
_WEIGHTS: Final = "weights.safetensors"


class CutGraph:
    """One of a bundle's graphs, in the order of its nodes.

    Args:
        bundle: whose graph.
        role: which.
        folder: for files; it must outlive this.

    Attributes:
        nodes: of the graph, constants aside; their names begin with the path of the PyTorch module.
        cuts: indices into `nodes`, ascending, from 0 to their number: what crosses a cut can be carried.
    """

    def __init__(self, bundle: Bundle, role: GraphRole, folder: Path) -> None:
        self._bundle, self._folder, self._made = bundle, folder, 0
        self._model = onnx.load(str(bundle.graph_path(role)))
        self._constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self.nodes = []
        for node in self._model.graph.node:
            if node.op_type == "Constant" and not node.domain:
                self._constants[node.output[0]] = _constant(node)
            else:
                self.nodes.append(node)
        graph = self._model.graph
        infos = (*graph.input, *graph.output, *graph.value_info)
        self._types = {info.name: info.type.tensor_type.elem_type for info in infos}
        self._shapes = {info.name: tuple(one.dim_value for one in info.type.tensor_type.shape.dim) for info in infos}
        self._last_use = {name: place for place, node in enumerate(self.nodes) for name in node.input}
        self._last_use |= {info.name: len(self.nodes) for info in graph.output}
        self.cuts = [place for place in range(len(self.nodes) + 1) if self._can_cut(place)]

    def part(self, begin: int, end: int) -> tuple[Bundle, list[str], list[str]]:
        """Nodes from `begin` to `end` as a bundle, and the names of its inputs and outputs."""
        nodes = self.nodes[begin:end]
        made = [name for node in nodes for name in node.output if name]
        inside = set(made)
        used = dict.fromkeys(name for node in nodes for name in node.input if name)
        inputs = [name for name in used if name not in inside and name not in self._constants]
        outputs = [name for name in made if self._last_use.get(name, -1) >= end]
        graph = helper.make_graph(
            nodes,
            "part",
            list(map(self._info, inputs)),
            list(map(self._info, outputs)),
            [self._constants[name] for name in used if name in self._constants],
            value_info=[self._info(name) for name in made if name in self._shapes and name not in outputs],
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        model.functions.extend(self._model.functions)
        return self._stored(model, inputs, outputs), inputs, outputs

    def meaning(self, names: Sequence[str], feed: Mapping[str, Array]) -> dict[str, Array]:
        """What tensors are when each node is computed as it stands, by ONNX Runtime without any optimisation."""
        known = {name: feed[name] for name in names if name in feed}
        wanted = [name for name in names if name not in known]
        values = self._plain.run(wanted, dict(feed)) if wanted else []
        return known | dict(zip(wanted, values, strict=True))

    @cached_property
    def _plain(self) -> onnxruntime.InferenceSession:
        """Every tensor is an output, so that any can be asked for."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        given = {info.name for info in model.graph.output}
        crossing = {name for node in self.nodes for name in node.output if name in self._types} - given
        model.graph.output.extend(self._info(name) for name in sorted(crossing))
        path = self._folder / "meaning.onnx"
        onnx.save(model, path, save_as_external_data=True, location="meaning.data")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _can_cut(self, place: int) -> bool:
        crossing = {
            name for node in self.nodes[:place] for name in node.output if self._last_use.get(name, -1) >= place
        }
        return all(self._types.get(name) in _CARRIED and all(self._shapes[name]) for name in crossing)

    def _info(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self._types[name], self._shapes[name])

    def _stored(self, model: onnx.ModelProto, inputs: Iterable[str], outputs: Iterable[str]) -> Bundle:
        manifest, self._made = self._bundle.manifest, self._made + 1
        with BundleWriter(self._folder / f"part{self._made}.bundle") as writer:
            externalize({"model": model}, writer.folder / _WEIGHTS)
            onnx.save(model, writer.folder / "model.onnx")
            return writer.commit(
                lambda files: TensorsManifest(
                    model=ModelSpec(
                        name=manifest.model.name,
                        family=manifest.model.family,
                        task=TensorsManifest.task,
                        keep_schedule="",
                        dataset="",
                        config={},
                    ),
                    precision=manifest.precision,
                    graphs={
                        "model": GraphSpec(
                            file="model.onnx",
                            inputs=tuple(map(self._spec, inputs)),
                            outputs=tuple(map(self._spec, outputs)),
                        )
                    },
                    state=(),
                    weights_file=_WEIGHTS,
                    provenance=manifest.provenance,
                    files=dict(files),
                )
            )

    def _spec(self, name: str) -> TensorSpec:
        return TensorSpec(name=name, dtype=_CARRIED[self._types[name]], shape=self._shapes[name])


def _constant(node: onnx.NodeProto) -> onnx.TensorProto:
    """A constant node as an initializer."""
    value = helper.get_node_attr_value(node, node.attribute[0].name)
    if isinstance(value, onnx.TensorProto):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        return tensor
    dtype = np.float32 if "float" in node.attribute[0].name else np.int64
    return numpy_helper.from_array(np.array(value, dtype), node.output[0])
