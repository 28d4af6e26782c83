"""What a user would run instead of an engine of ours, in the shape of an engine."""

from __future__ import annotations

from typing import Any

from vpp_deploy.benchmark.names import NAIVE_ONNX
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.protocols import Engine, HostStream
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.engines import TORCH, open_engine


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
