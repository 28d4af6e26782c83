"""A classifier in Triton's Python backend: without state, in batches. Imported in Triton alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.serving.triton import server
from vpp_deploy.serving.triton.frames import decode
from vpp_deploy.serving.triton.models import open_model
from vpp_deploy.serving.triton.settings import Placed, Settings
from vpp_deploy.tasks.classification.results import ClassificationResult


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the engine.

        Args:
            args: of Triton.

        Raises:
            VppDeployError: something does not fit; the server says so and does not offer the model.
        """
        server.refuse_garbling_numpy()
        server.log_to_server()
        placed = Placed.of(args)
        self._model: Any = open_model(placed, Settings.from_parameters(placed.parameters), top=placed.number("top"))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Classify the pictures of all requests together. A bad picture is an error of its own request alone.

        Args:
            requests: of Triton, each with one or more pictures.

        Returns:
            Their responses.
        """
        pictures: list[Any] = []
        places: list[slice | BaseException] = []
        for request in requests:
            try:
                own = _pictures(server.inputs_of(request))
                places.append(slice(len(pictures), len(pictures) + len(own)))
                pictures += own
            except Exception as error:  # the other requests must have their answers
                places.append(error)
        try:
            results = self._model(pictures) if pictures else []
        except Exception as error:  # of the engine: nobody gets a result
            places = [error if isinstance(place, slice) else place for place in places]
        return [
            _response(results[place]) if isinstance(place, slice) else server.error_response(place) for place in places
        ]


def _pictures(inputs: Mapping[str, Any]) -> list[Any]:
    """The pictures of a request, decoded and checked."""
    if len(inputs) != 1:
        raise UsageError(f"a request holds {' and '.join(sorted(inputs)) or 'neither'}; send FRAME or JPEG")
    ((name, array),) = inputs.items()
    batched = array.ndim > (1 if name == "JPEG" else 3)
    one_by_one = array if batched else array[None]
    if name == "JPEG":
        return [decode(bytes(content.item())) for content in one_by_one]
    if 0 in array.shape:
        raise VideoError(f"a picture of {list(array.shape)} has no pixels")
    return list(one_by_one)


def _response(results: Sequence[ClassificationResult]) -> Any:
    texts = np.array([[result.to_json().encode()] for result in results], np.object_)
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor("LABELS", np.stack([result.labels for result in results])),
            pb_utils.Tensor("SCORES", np.stack([result.scores for result in results])),
            pb_utils.Tensor("RESULT", texts),
        ]
    )
