"""A model of videos in Triton's Python backend: a sequence is a stream of a pool. Imported in Triton alone.

Triton hands out a sequence's next request as soon as `execute` returns, so the pool keeps streams in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils

from vpp_deploy.errors import UsageError
from vpp_deploy.serving.pool import SessionPool
from vpp_deploy.serving.triton import server
from vpp_deploy.serving.triton.bls import BlsEngine
from vpp_deploy.serving.triton.frames import Details, StreamFrame, stream_name
from vpp_deploy.serving.triton.metrics import ServerMetrics
from vpp_deploy.serving.triton.models import open_model
from vpp_deploy.serving.triton.sessions import StreamModel
from vpp_deploy.serving.triton.settings import BLS, Placed, Settings
from vpp_deploy.serving.triton.snapshots import SnapshotStore
from vpp_deploy.tasks.segmentation.model import SegmentationModel
from vpp_deploy.tasks.segmentation.results import FrameResult

_START, _END = 1, 2
_MARGIN: Final = 1
"""Seconds that a stream outlives Triton's sequence, so that a late frame gets Triton's own answer."""
_TENSORS: Final[Mapping[str, Callable[[FrameResult], Any]]] = {
    "IDENTITIES": lambda result: result.instances.identities,
    "LABELS": lambda result: result.instances.labels,
    "SCORES": lambda result: result.instances.scores,
    "BOXES": lambda result: result.instances.boxes,
    "MASKS": lambda result: result.instances.masks,
}


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the engine and make the pool.

        Args:
            args: of Triton.

        Raises:
            VppDeployError: something does not fit; the server says so and does not offer the model.
        """
        server.refuse_garbling_numpy()
        server.log_to_server()
        placed = Placed.of(args)
        settings = Settings.from_parameters(placed.parameters)
        self._store = SnapshotStore(Path(settings.snapshots)) if settings.snapshots else None
        streams = StreamModel(_load(placed, settings), self._store, settings.snapshot_every)
        self._pool = SessionPool(
            streams,
            workers=settings.workers or None,
            max_streams=settings.max_streams,
            max_waiting=settings.max_waiting,
            idle_seconds=settings.idle_seconds + _MARGIN,
            on_expired=self._expired,
        )
        self._metrics = ServerMetrics(self._pool, placed.name)

    def execute(self, requests: list[Any]) -> None:
        """Give frames to their streams; the pool's threads answer.

        Args:
            requests: of Triton.
        """
        self._metrics.update()
        for request in requests:
            sender = request.get_response_sender()
            answer = partial(_answer, sender, frozenset(request.requested_output_names()))
            try:
                future = self._submit(request, sender.is_cancelled)
            except Exception as error:  # the other requests must have their answers
                sender.send(server.error_response(error), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            else:
                future.add_done_callback(answer)

    def finalize(self) -> None:
        """Run what waits, and end."""
        self._pool.close()
        self._metrics.close()

    def _submit(self, request: Any, is_cancelled: Callable[[], bool]) -> Future[FrameResult]:
        name, flags = stream_name(request.correlation_id()), request.flags()
        details, state = Details.of(server.parameters_of(request)), None
        if flags & _START and details.resume and (last := self._pool.answer(name, details.number)) is not None:
            return last  # Triton lets no frame pass behind the end of a sequence but as the start of another
        if flags & _START and self._store is not None:
            if details.resume:
                state = self._store.load(name, details.number)
            else:
                self._store.remove(name)
        elif details.resume:
            raise UsageError("resume is for the first frame of a sequence, of a model with snapshots; leave it out")
        frame = StreamFrame(name, _pixels(server.inputs_of(request)), details, is_cancelled)
        future = self._pool.submit(
            name,
            frame,
            start=bool(flags & _START),
            end=bool(flags & _END),
            number=details.number,
            state=state,
            timeout=0,
        )
        if flags & _END and (store := self._store) is not None:
            future.add_done_callback(partial(_forget, store, name))
        return future

    def _expired(self, name: str, snapshot: Any) -> None:
        """A client has vanished; its snapshots stay for a day."""
        if self._store is not None:
            self._store.prune()


def _forget(store: SnapshotStore, name: str, last: Future[FrameResult]) -> None:
    """Remove the snapshots of a stream that is whole; one that lost a frame before its last goes on from them."""
    if not last.cancelled() and last.exception() is None:
        store.remove(name)


def _load(placed: Placed, settings: Settings) -> SegmentationModel:
    if settings.engine == BLS:
        return SegmentationModel(BlsEngine(placed))
    model = open_model(placed, settings)
    assert isinstance(model, SegmentationModel)
    return model


def _pixels(inputs: Mapping[str, Any]) -> Any:
    """The frame or the picture of a request: a copy, since the request's own memory ends with `execute`."""
    if len(inputs) != 1:
        raise UsageError(f"a request holds {' and '.join(sorted(inputs)) or 'neither'}; send FRAME or JPEG")
    ((name, array),) = inputs.items()
    return server.picture_bytes(array) if name == "JPEG" else np.array(array)


def _answer(sender: Any, wanted: frozenset[str], future: Future[FrameResult]) -> None:
    try:
        response = pb_utils.InferenceResponse(output_tensors=_tensors(future.result(), wanted))
    except BaseException as error:  # of the frame, or of a future that was cancelled: the client waits
        response = server.error_response(error)
    sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _tensors(result: FrameResult, wanted: frozenset[str]) -> list[Any]:
    found = [
        pb_utils.Tensor(name, np.ascontiguousarray(array(result))) for name, array in _TENSORS.items() if name in wanted
    ]
    if "RESULT" in wanted:
        found.append(server.text_tensor("RESULT", [result.to_json()]))
    return found
