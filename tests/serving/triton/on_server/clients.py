"""Clients of a real server: HTTP, gRPC, and gRPC's stream. Imported where the server is installed."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("tritonclient.grpc", reason="test_real_server.py runs this where a Triton server is installed")
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, shared_memory  # noqa: F401 - for the tests

PATIENCE = 60.0
TENSORS = ("IDENTITIES", "LABELS", "SCORES", "BOXES", "MASKS")


def frame_input(kind: Any, frame: npt.NDArray[np.uint8] | bytes) -> list[Any]:
    """A frame, or an encoded picture, as the inputs of a request."""
    array = np.array([frame], np.object_) if isinstance(frame, bytes) else frame
    made = kind.InferInput(*(("JPEG", [1], "BYTES") if isinstance(frame, bytes) else ("FRAME", frame.shape, "UINT8")))
    made.set_data_from_numpy(array)
    return [made]


class Unary:
    """One request after the other, over HTTP or gRPC."""

    def __init__(self, kind: Any, address: str, model: str = "vpp") -> None:
        self.kind, self.model = kind, model
        self.client = kind.InferenceServerClient(address)

    def __call__(self, stream: int | str, frame: Any, *, start: bool = False, end: bool = False, **more: Any) -> Any:
        inputs = frame_input(self.kind, frame)
        sequence = {"sequence_id": stream, "sequence_start": start, "sequence_end": end}
        return self.client.infer(self.model, inputs, **sequence, parameters=more or None)


def over_http(address: str, model: str = "vpp") -> Unary:
    return Unary(tritonclient.http, address, model)


def over_grpc(address: str, model: str = "vpp") -> Unary:
    return Unary(tritonclient.grpc, address, model)


class Streaming:
    """Requests on one gRPC stream: given without waiting, answered later."""

    def __init__(self, address: str, model: str = "vpp") -> None:
        self.client, self.model = tritonclient.grpc.InferenceServerClient(address), model
        self.answers: queue.Queue[Any] = queue.Queue()
        self.client.start_stream(partial(self._answered))

    def _answered(self, result: Any, error: Any) -> None:
        self.answers.put(error if result is None else result)

    def send(self, stream: int | str, frame: Any, *, start: bool = False, end: bool = False, **more: Any) -> None:
        inputs = frame_input(tritonclient.grpc, frame)
        sequence = {"sequence_id": stream, "sequence_start": start, "sequence_end": end}
        request = f"{stream} {more.get('number')}"
        self.client.async_stream_infer(self.model, inputs, request_id=request, **sequence, parameters=more or None)

    def receive(self, count: int) -> Iterator[tuple[str, Any]]:
        """Answers as they come, with the ids of their requests."""
        for _ in range(count):
            answer = self.answers.get(timeout=PATIENCE)
            if isinstance(answer, Exception):
                raise answer
            yield answer.get_response().id, answer

    def close(self, *, cancel: bool = False) -> None:
        self.client.stop_stream(cancel_requests=cancel)
        self.client.close()


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """The block's request ends in an error of the server with these words."""
    with pytest.raises(InferenceServerException) as caught:
        yield
    for word in words:
        assert word in str(caught.value)


def assert_same(answer: Any, expected: Any) -> None:
    """An answer has the bits of a plain session's result, as tensors and as JSON."""
    instances = expected.instances
    arrays = (instances.identities, instances.labels, instances.scores, instances.boxes, instances.masks)
    for name, array in zip(TENSORS, arrays, strict=True):
        found = answer.as_numpy(name)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes(), name
    text = json.loads(answer.as_numpy("RESULT")[0])
    wanted = expected.to_dict()
    del text["seconds"], wanted["seconds"]
    assert text == json.loads(json.dumps(wanted))
