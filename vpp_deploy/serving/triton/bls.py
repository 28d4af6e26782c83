"""An engine whose graphs Triton's own backends run, as models of their own. Imported in Triton alone.

The session on top of it is the usual one: the tracker's queries for a frame come from the frame before, so no graph
alone can be the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import MANIFEST_FILE
from vpp_deploy.bundle.schema import validated
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.protocols import Array, HostStream
from vpp_deploy.errors import BundleError, IncompatibleEngineError
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON
from vpp_deploy.files.reading import read_json
from vpp_deploy.serving.triton.models import graph_model
from vpp_deploy.serving.triton.settings import Placed


class BlsEngine(LoadedEngine):
    """Runs graphs by requests to the models beside it (business logic scripting); state comes and goes with them.

    Args:
        placed: where Triton has put the model, with the bundle's manifest.

    Raises:
        BundleError: the manifest cannot be read.
    """

    backend = "triton"

    def __init__(self, placed: Placed) -> None:
        path = placed.folder / MANIFEST_FILE
        content = read_json(path, BundleError, what="manifest", limit=MOST_BYTES_OF_JSON, hint="write it again")
        super().__init__(validated(content))
        self._name = placed.name

    @property
    def precision(self) -> str:
        """That of the bundle."""
        return self._manifest.precision

    def open_stream(self) -> HostStream:
        """A new stream with empty state."""
        return HostStream(self._manifest, self._run)

    def _run(self, role: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> Sequence[Array]:
        model = graph_model(self._name, role)
        response = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(names),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in feed.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        ).exec()
        if response.has_error():
            raise IncompatibleEngineError(f"model {model}: {response.error().message()}")
        found: dict[str, Any] = {tensor.name(): tensor for tensor in response.output_tensors()}
        return [np.array(found[name].as_numpy()) for name in names]
