"""A bundle of plain tensors around any graph without state."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.bundle.graphs import provenance
from vpp_deploy.bundle import Bundle, BundleWriter
from vpp_deploy.bundle.manifest import GraphSpec, ModelSpec, TensorSpec, WeightsProvenance
from vpp_deploy.bundle.tensors_manifest import TensorsManifest

_EMPTY_SAFETENSORS = b"\x02\0\0\0\0\0\0\0{}"
_NAMES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.INT32: "int32"}


def parsed(text: str) -> onnx.ModelProto:
    """A model from the text of its graph, such as `g (float[2] x) => (float[2] y) { y = Relu (x) }`."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')


def make_tensors(path: Path, text: str) -> Bundle:
    """Write a bundle whose manifest says what the graph's inputs and outputs are."""
    model = parsed(text)
    inputs, outputs = (tuple(map(_spec, ends)) for ends in (model.graph.input, model.graph.output))
    with BundleWriter(path) as writer:
        onnx.save(model, writer.folder / "model.onnx")
        (writer.folder / "weights.safetensors").write_bytes(_EMPTY_SAFETENSORS)
        return writer.commit(
            lambda files: TensorsManifest(
                model=ModelSpec(
                    name="plain", family="none", task="tensors", keep_schedule="dense", dataset="", config={}
                ),
                graphs={"model": GraphSpec(file="model.onnx", inputs=inputs, outputs=outputs)},
                weights_file="weights.safetensors",
                provenance=provenance(WeightsProvenance(kind="memory", name="plain")),
                files=dict(files),
            )
        )


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    kind = info.type.tensor_type
    return TensorSpec(
        name=info.name,
        dtype=_NAMES[kind.elem_type],  # type: ignore[arg-type]
        shape=tuple(axis.dim_value for axis in kind.shape.dim),
    )
