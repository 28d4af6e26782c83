"""What the tiny bundles share: graphs made of nodes, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from vpp_deploy.bundle.manifest import Provenance, StateSpec, TensorSpec, WeightsProvenance

_TYPES = {"uint8": TensorProto.UINT8, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}


def value(name: str, spec: TensorSpec | StateSpec) -> onnx.ValueInfoProto:
    """An input or output of a graph, as a manifest describes it."""
    return helper.make_tensor_value_info(name, _TYPES[spec.dtype], spec.shape)


def graph_of(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
    constants: Mapping[str, npt.NDArray[Any] | np.generic],
) -> onnx.ModelProto:
    """A model with its constants inside."""
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, name, [*inputs], [*outputs], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def provenance(weights: WeightsProvenance) -> Provenance:
    """Where a tiny bundle comes from."""
    return Provenance(
        created="2026-01-01T00:00:00Z",
        vpp_deploy="0.1.0",
        torch="none",
        onnx=onnx.__version__,
        opset=20,
        weights=weights,
    )
