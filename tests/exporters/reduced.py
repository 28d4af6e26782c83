"""Bundles of a smaller precision without tracing a model again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import safetensors.numpy

from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.exporters.graphs import write_graphs
from vpp_deploy.precision import Precision


def reduced_bundle(bundle: Bundle, precision: Precision, out: Path) -> Bundle:
    """What an export of a float32 bundle's model would be with another precision."""
    graphs: Any = {phase: (onnx.load(bundle.graph_path(phase)), None) for phase in bundle.manifest.phases}
    with BundleWriter(out) as writer:
        write_graphs(writer, graphs, safetensors.numpy.load_file(bundle.weights_path), precision)
        changes = {"precision": precision}
        return writer.commit(lambda files: bundle.manifest.model_copy(update={**changes, "files": dict(files)}))
