"""What a user would run instead of an engine of ours, in the shape of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vpp_deploy.benchmark.names import NAIVE_ONNX, OPENVINO
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.protocols import Array, Engine, HostStream
from vpp_deploy.errors import DependencyError, UsageError
from vpp_deploy.tasks.engines import TORCH, open_engine

_OPENVINO_FORM = "tensorrt"
"""The lowering whose nodes OpenVINO's reader knows: the one for ONNX Runtime has DeformConv."""


def compiled_reference(bundle: Bundle) -> Engine:
    """The PyTorch reference, its module compiled by `torch.compile` on its first calls.

    Raises:
        DependencyError: PyTorch is not installed.
        UsageError: the family's reference has no module called `graph`.
    """
    engine = open_engine(bundle, TORCH)
    module: Any = getattr(engine, "graph", None)
    if not hasattr(module, "compile"):
        raise UsageError(f"the reference of {bundle.manifest.model.name} has no module `graph` that could be compiled")
    module.compile()
    return engine


class NaiveOnnxEngine(LoadedEngine):
    """The bundle's own graphs on ONNX Runtime with its defaults: no lowering, no tuning, portable bodies of the ops.

    Args:
        bundle: its graphs are run where they lie.
    """

    backend = NAIVE_ONNX
    precision = "float32"

    def __init__(self, bundle: Bundle) -> None:
        import onnxruntime

        super().__init__(bundle.manifest)
        self._sessions = {
            role: onnxruntime.InferenceSession(bundle.graph_path(role), providers=["CPUExecutionProvider"])
            for role in bundle.manifest.roles
        }

    def open_stream(self) -> HostStream:
        """A new stream with empty state."""
        return HostStream(self._manifest, lambda role, names, feed: self._sessions[role].run(names, feed))


class OpenVinoEngine(LoadedEngine):
    """The bundle's graphs in standard ONNX ops on OpenVINO's CPU device, asked for low latency.

    Args:
        bundle: any bundle.

    Raises:
        DependencyError: OpenVINO is not installed.
    """

    backend = OPENVINO
    precision = "float32"

    def __init__(self, bundle: Bundle) -> None:
        try:
            import openvino  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise DependencyError("openvino is not installed; install it with: pip install openvino") from error
        super().__init__(bundle.manifest)
        core, settings = openvino.Core(), {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self._models: dict[GraphRole, Any] = {}
        with TemporaryDirectory() as folder:
            for role in bundle.manifest.roles:
                with lowered_graph(bundle, role, Path(folder), _OPENVINO_FORM) as path:
                    self._models[role] = core.compile_model(path, "CPU", settings)

    def open_stream(self) -> HostStream:
        """A new stream with empty state and requests of its own."""
        requests = {role: model.create_infer_request() for role, model in self._models.items()}

        def run(role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
            results = requests[role].infer(dict(feed))
            return [np.array(results[name]) for name in names]  # a copy: the request uses its memory again

        return HostStream(self._manifest, run)
