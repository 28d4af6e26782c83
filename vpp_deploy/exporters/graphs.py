"""What every export does with its traced graphs, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt
import onnx
import torch

from vpp_deploy import ops
from vpp_deploy._version import __version__
from vpp_deploy.bundle.external_data import externalize
from vpp_deploy.bundle.manifest import GraphRole, GraphSpec, Provenance, WeightsProvenance
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.exporters.checks import check_graph
from vpp_deploy.exporters.precision import PRECISIONS, check_precision
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.exporters.unfold_weights import unfold_weights

WEIGHTS_FILE = "weights.safetensors"
Graphs = Mapping[GraphRole, tuple[onnx.ModelProto, GraphSignature]]


def write_graphs(
    writer: BundleWriter, graphs: Graphs, state_dict: Mapping[str, npt.NDArray[Any]], precision: str
) -> None:
    """Give traced graphs their precision, check them and write them with one weights file for all and for PyTorch.

    Args:
        writer: the bundle in the making.
        graphs: the traced graph of each role, which is changed in place, and its signature.
        state_dict: the model's tensors by their names in the weights file.
        precision: name of what products compute in, see `PRECISIONS`.

    Raises:
        UsageError: an unknown precision.
        ExportError: a backend could not run a graph, or a weight is beyond the range of the precision.
    """
    record = PRECISIONS[check_precision(precision)]
    traced = {str(role): model for role, (model, _) in graphs.items()}
    for role, model in traced.items():
        unfold_weights(model, state_dict)
        record.reduce(model, graph_file(role))
        record.check(model, graph_file(role))
        check_graph(model, graph_file(role), record.added_ops)
    externalize(traced, writer.folder / WEIGHTS_FILE, state_dict=state_dict)
    for role, model in traced.items():
        path = writer.folder / graph_file(role)
        onnx.save(model, path)
        onnx.checker.check_model(str(path))  # by path: a model with its weights inside can exceed protobuf's 2 GB


def graph_file(role: str) -> str:
    """Name of a graph in the bundle."""
    return f"{role}.onnx"


def graph_specs(graphs: Graphs) -> dict[GraphRole, GraphSpec]:
    """What the manifest says of the graphs."""
    return {
        role: GraphSpec(file=graph_file(role), inputs=signed.inputs, outputs=signed.outputs)
        for role, (_, signed) in graphs.items()
    }


def provenance(weights: WeightsProvenance, proposal_weights: WeightsProvenance | None = None) -> Provenance:
    """How a bundle that is exported now is made."""
    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        vpp_deploy=__version__,
        torch=torch.__version__,
        onnx=onnx.__version__,
        opset=ops.OPSET,
        weights=weights,
        proposal_weights=proposal_weights,
    )
