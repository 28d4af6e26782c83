"""Graphs and bundles of a smaller precision, without tracing a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import safetensors.numpy

from tests.exporters.test_checks import model
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.exporters.checks import check_graph
from vpp_deploy.exporters.graphs import write_graphs
from vpp_deploy.exporters.precision import PRECISIONS


def reduced(text: str, precision: str = "float16") -> onnx.ModelProto:
    """A graph that is written as text in a precision, and valid."""
    rewritten = model(text)
    PRECISIONS[precision].reduce(rewritten, "g")
    check_graph(rewritten, "g")
    onnx.checker.check_model(rewritten, full_check=True)  # infers types: a product of two types would not pass
    return rewritten


def reduced_bundle(bundle: Bundle, precision: str, out: Path) -> Bundle:
    """What an export of a float32 bundle's model would be with another precision."""
    graphs: Any = {role: (onnx.load(bundle.graph_path(role)), None) for role in bundle.manifest.roles}
    with BundleWriter(out) as writer:
        write_graphs(writer, graphs, safetensors.numpy.load_file(bundle.weights_path), precision)
        changes = {"precision": precision}
        return writer.commit(lambda files: bundle.manifest.model_copy(update={**changes, "files": dict(files)}))
