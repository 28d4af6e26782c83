"""Running a bundle's graphs with an eye on what is inside, or with a choice of which layers round."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.onnxruntime import BACKEND
from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.engines.protocols import Array, HostStream
from vpp_deploy.errors import BuildError
from vpp_deploy.quantization.qdq import switch
from vpp_deploy.quantization.reduction import Reduction

Observer = Callable[[GraphRole, Mapping[str, Array], Mapping[str, Array]], None]
"""Gets the graph that ran, what went in (state included), and what came out with the inner tensors asked for."""


class ObservedEngine(LoadedEngine):
    """A bundle on ONNX Runtime, frame by frame as always; an observer sees every run of a graph.

    Args:
        bundle: any bundle.
        observer: is called after each run.
        tensors: names of inner tensors to show, by graph; none if it is left out.
    """

    backend = BACKEND.name
    precision = "float32"

    def __init__(
        self, bundle: Bundle, observer: Observer, tensors: Mapping[GraphRole, Collection[str]] | None = None
    ) -> None:
        super().__init__(bundle.manifest)
        self._observer = observer
        self._inner: dict[GraphRole, list[str]] = {}
        self._sessions: dict[GraphRole, Session] = {}
        for role in bundle.manifest.roles:
            outside = (*bundle.manifest.inputs_of(role), *bundle.manifest.outputs_of(role))
            self._inner[role] = inner = sorted(set((tensors or {}).get(role, ())) - set(outside))
            self._sessions[role] = _open_edited(bundle, role, lambda model, inner=inner: _show(model, inner))  # type: ignore[misc]

    def open_stream(self) -> HostStream:
        """A new stream with empty state."""
        return HostStream(self._manifest, self._run)

    def _run(self, role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        found = self._sessions[role].run([*names, *self._inner[role]], feed)
        self._observer(role, feed, dict(zip([*names, *self._inner[role]], found, strict=True)))
        return found[: len(names)]


class ChoiceEngine(LoadedEngine):
    """A bundle whose products round as a smaller type does, those of some groups: every choice in the same sessions.

    Attributes:
        choice: name of the smaller type's precision.
        groups: all groups of layers, in the order of the graphs.
        rounding: the groups that round.
        observer: is called after each run, if there is one.

    Args:
        bundle: in float32.
        reduction: what is done to products.
    """

    backend = BACKEND.name
    precision = "float32"

    def __init__(self, bundle: Bundle, reduction: Reduction) -> None:
        super().__init__(bundle.manifest)
        self.choice = reduction.name
        self._known = {role: reduction.groups(role) for role in bundle.manifest.roles}
        self.groups = tuple(dict.fromkeys(group for groups in self._known.values() for group in groups))
        self.rounding: Collection[str] = ()
        self.observer: Observer | None = None
        self._sessions = {
            role: _open_edited(bundle, role, partial(reduction.add_choice, role)) for role in bundle.manifest.roles
        }

    def open_stream(self) -> HostStream:
        """A new stream with empty state."""
        return HostStream(self._manifest, self.run)

    def run(self, role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """Run a graph once."""
        switches = {switch(group): np.array(group in self.rounding) for group in self._known[role]}
        found = self._sessions[role].run(names, {**feed, **switches})
        if self.observer is not None:
            self.observer(role, feed, dict(zip(names, found, strict=True)))
        return found


def _open_edited(bundle: Bundle, role: GraphRole, edit: Callable[[onnx.ModelProto], None]) -> Session:
    """A session with one of a bundle's graphs, lowered and then edited."""
    label = f"the {role} graph of {bundle.path}"
    with TemporaryDirectory() as folder, lowered_graph(bundle, role, Path(folder), BACKEND.name) as path:
        model = onnx.load(path, load_external_data=False)
        edit(model)
        onnx.save(model, path)
        return Session(path, session_options(threads=None), error=BuildError, label=label)


def _show(model: onnx.ModelProto, tensors: Sequence[str]) -> None:
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in tensors)
