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
from vpp_deploy.bundle.manifest import GraphSpec, Phase, Provenance, WeightsSource
from vpp_deploy.bundle.weights import externalize
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.exporters.checks import check_graph
from vpp_deploy.exporters.precision import reduce_precision
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.exporters.weights import unfold_weights
from vpp_deploy.precision import Precision

WEIGHTS_FILE = "weights.safetensors"
Graphs = Mapping[Phase, tuple[onnx.ModelProto, GraphSignature]]


def write_graphs(
    writer: BundleWriter, graphs: Graphs, state_dict: Mapping[str, npt.NDArray[Any]], precision: Precision
) -> None:
    """Give traced graphs their precision, check them and write them with one weights file for all and for PyTorch.

    Args:
        writer: the bundle in the making.
        graphs: each phase's traced graph, which is changed in place, and its signature.
        state_dict: the model's tensors by their names in the weights file.
        precision: of matrix products and convolutions.

    Raises:
        ExportError: a backend could not run a graph, or a weight is beyond the range of the precision.
    """
    traced = {str(phase): model for phase, (model, _) in graphs.items()}
    for phase, model in traced.items():
        unfold_weights(model, state_dict)
        reduce_precision(model, precision, graph_file(phase))
        check_graph(model, graph_file(phase))
    externalize(traced, writer.folder / WEIGHTS_FILE, state_dict=state_dict)
    for phase, model in traced.items():
        path = writer.folder / graph_file(phase)
        onnx.save(model, path)
        onnx.checker.check_model(str(path))  # by path: a model with its weights inside can exceed protobuf's 2 GB


def graph_file(phase: str) -> str:
    """Name of a phase's graph in the bundle."""
    return f"{phase}.onnx"


def graph_specs(graphs: Graphs) -> dict[Phase, GraphSpec]:
    """What the manifest says of the graphs."""
    return {
        phase: GraphSpec(file=graph_file(phase), inputs=signed.inputs, outputs=signed.outputs)
        for phase, (_, signed) in graphs.items()
    }


def provenance(weights: WeightsSource, proposal_weights: WeightsSource | None = None) -> Provenance:
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
