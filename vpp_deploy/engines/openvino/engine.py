"""OpenVINO engines: graphs lowered and stored in OpenVINO's own form, compiled for the device that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.backend import BuildProgress
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer
from vpp_deploy.engines.loaded import BuiltEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.openvino import BACKEND
from vpp_deploy.engines.openvino.models import Graph, load_graph, store
from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions
from vpp_deploy.engines.protocols import Array, HostStream
from vpp_deploy.options import NoOptions


@dataclass(frozen=True)
class OpenVinoBuild:
    """A build of both graphs of a bundle; there is nothing to choose."""

    bundle: Bundle
    options: NoOptions

    @property
    def wanted(self) -> EngineRecord:
        """The engine's record, as far as it is known before it is built."""
        return EngineRecord.wanted(self.bundle, BACKEND)

    def run(self, progress: BuildProgress = lambda step, share: None) -> None:
        """Lower the graphs and store them, for any processor; they are compiled when the engine is loaded.

        Raises:
            BundleError: a graph is not what the manifest says, or needs more memory than is allowed.
            BuildError: OpenVINO refuses a graph.
            OutputError: the bundle cannot be written to.
        """
        bundle, layers = self.bundle, {}
        with engine_writer(bundle, BACKEND.name) as (folder, finish):
            for role in bundle.manifest.roles:
                label = f"the {role} graph of {bundle.path}"
                with lowered_graph(bundle, role, folder, BACKEND.name) as lowered:
                    layers[role] = store(lowered, folder / f"{role}.xml", label)
            finish(self.wanted.model_copy(update={"details": {"layers": layers}}))


def load(bundle: Bundle, options: OpenVinoLoadOptions) -> OpenVinoEngine:
    """Load the engine that a bundle has; see `OpenVinoEngine`."""
    return OpenVinoEngine(bundle, options)


class OpenVinoEngine(BuiltEngine):
    """A bundle's OpenVINO engine, loaded once and shared by all streams.

    Args:
        bundle: a bundle with a built engine.
        options: how it runs.

    Raises:
        UsageError: options that contradict each other.
        DeviceError: OpenVINO finds no such device.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
        BundleError: the bundle needs more memory than is allowed.
    """

    def __init__(self, bundle: Bundle, options: OpenVinoLoadOptions) -> None:
        super().__init__(bundle, BACKEND)
        self._graphs: dict[GraphRole, Graph] = {
            role: load_graph(self.files, bundle.manifest, role, options, bundle.max_memory)
            for role in bundle.manifest.roles
        }

    def open_stream(self) -> HostStream:
        """A new stream with empty state and requests of its own; no weights are copied."""
        requests = {role: graph.request() for role, graph in self._graphs.items()}

        def run(role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
            return requests[role].run(names, feed)

        return HostStream(self._manifest, run)
