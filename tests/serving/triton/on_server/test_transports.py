"""Interleaved streams of a real server have the bits of plain sessions, however they come."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import vpp_deploy as vd
from tests.serving.triton.on_server.clients import (
    PATIENCE,
    Streaming,
    Unary,
    assert_same,
    over_grpc,
    over_http,
    refused,
    shared_memory,
    tritonclient,
)
from tests.serving.triton.on_server.conftest import LENGTH, Frames
from tools.triton_server import Server
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.serving.triton.probe import main, probe

Expected = list[list[vd.FrameResult]]


@pytest.fixture(params=["http", "grpc"])
def ask(request: pytest.FixtureRequest, server: Server) -> Unary:
    return over_http(server.http) if request.param == "http" else over_grpc(server.grpc)


def test_four_interleaved_streams(ask: Unary, videos: list[Frames], expected: Expected) -> None:
    for number in range(LENGTH):
        for stream, frames in enumerate(videos):
            answer = ask(100 + stream, frames[number], start=number == 0, end=number == LENGTH - 1)
            assert_same(answer, expected[stream][number])


def test_four_interleaved_streams_on_a_grpc_stream(server: Server, videos: list[Frames], expected: Expected) -> None:
    """Without waiting for answers: the model keeps each stream's frames in order."""
    streaming = Streaming(server.grpc)
    for number in range(LENGTH):
        for stream, frames in enumerate(videos):
            ends = {"start": number == 0, "end": number == LENGTH - 1}
            streaming.send(f"camera {stream}", frames[number], **ends, number=number)
    seen: list[str] = []
    for name, answer in streaming.receive(len(videos) * LENGTH):
        _, which, number_text = name.split()
        assert_same(answer, expected[int(which)][int(number_text)])
        seen.append(name)
    streaming.close()
    for stream in range(len(videos)):
        own = [name for name in seen if name.startswith(f"camera {stream}")]
        assert own == [f"camera {stream} {number}" for number in range(LENGTH)]


def test_ids_of_any_kind_are_streams_of_their_own(ask: Unary, videos: list[Frames], expected: Expected) -> None:
    """Not so where an integer control carries the first eight bytes of a text."""
    names: list[int | str] = ["camera-north-1", "camera-north-2", 7, "7"]
    for number in range(3):
        for name, frames, results in zip(names, videos, expected, strict=True):
            assert_same(ask(name, frames[number], start=number == 0, end=number == 2), results[number])


def test_pictures_letterboxed_frames_and_large_ones(ask: Unary, model: vd.SegmentationModel) -> None:
    generator = np.random.default_rng(1)
    large = np.kron(generator.integers(0, 256, (30, 48, 3), np.uint8), np.ones((24, 24, 1), np.uint8))
    plain = model(large)
    assert_same(ask(1, large, start=True, end=True), plain)
    small, _ = letterbox(large, model.frame_size)
    assert_same(ask(1, small, start=True, end=True, original_size="720x1152"), plain)
    file = io.BytesIO()
    Image.fromarray(large).save(file, "PNG")
    assert_same(ask(1, file.getvalue(), start=True, end=True), plain)
    file = io.BytesIO()
    Image.fromarray(large).save(file, "JPEG", quality=95)
    assert_same(ask(1, file.getvalue(), start=True, end=True), model(np.array(Image.open(file))))


def test_only_what_was_asked_for_comes(server: Server, videos: list[Frames], expected: Expected) -> None:
    ask = over_http(server.http)
    inputs = tritonclient.http.InferInput("FRAME", videos[0][0].shape, "UINT8")
    inputs.set_data_from_numpy(videos[0][0])
    wanted = [tritonclient.http.InferRequestedOutput("RESULT", binary_data=False)]
    sequence: dict[str, Any] = {"sequence_id": 5, "sequence_start": True, "sequence_end": True}
    answer = ask.client.infer("vpp", [inputs], outputs=wanted, **sequence)
    (output,) = answer.get_response()["outputs"]
    assert json.loads(output["data"][0])["instances"] == expected[0][0].to_dict()["instances"]


def test_frames_and_masks_in_shared_memory(server: Server, videos: list[Frames], expected: Expected) -> None:
    frame, kind = videos[1][0], tritonclient.grpc
    client = kind.InferenceServerClient(server.grpc)
    masks = expected[1][0].instances.masks
    handle = shared_memory.create_shared_memory_region("frames", "/vpp_test_frames", frame.nbytes + masks.nbytes)
    try:
        shared_memory.set_shared_memory_region(handle, [frame])
        client.register_system_shared_memory("frames", "/vpp_test_frames", frame.nbytes + masks.nbytes)
        given = kind.InferInput("FRAME", frame.shape, "UINT8")
        given.set_shared_memory("frames", frame.nbytes)
        wanted = kind.InferRequestedOutput("MASKS")
        wanted.set_shared_memory("frames", masks.nbytes, offset=frame.nbytes)
        sequence: dict[str, Any] = {"sequence_id": 6, "sequence_start": True, "sequence_end": True}
        client.infer("vpp", [given], outputs=[wanted], **sequence)
        assert_array_equal(
            shared_memory.get_contents_as_numpy(handle, np.bool_, masks.shape, offset=frame.nbytes), masks
        )
        client.unregister_system_shared_memory("frames")
    finally:
        shared_memory.destroy_shared_memory_region(handle)


@pytest.mark.parametrize(
    ("frame", "more", "words"),
    [
        (b"\xff\xd8\xff\xe0 no picture", {}, ["a JPEG picture of 15 bytes is damaged"]),
        (b"GIF89a", {}, ["a picture of 6 bytes is GIF; send JPEG, PNG or WebP"]),
        (np.zeros((0, 5, 3), np.uint8), {}, []),
        (np.zeros((20, 20, 3), np.uint8), {"original_size": "40x40"}, ["a letterboxed frame is 128x192, this one is"]),
        (np.zeros((128, 192, 3), np.uint8), {"original_size": "big"}, ["original_size is 'big'; it is HEIGHTxWIDTH"]),
        (np.zeros((20, 20, 3), np.uint8), {"number": "one"}, ["parameter number is 'one'; it is a whole number"]),
        (np.zeros((20, 20, 3), np.uint8), {"resume": 1}, ["parameter resume is 1; it is true or false"]),
        (np.zeros((20, 20, 3), np.uint8), {"resume": True}, ["resume is for the first frame"]),
        (np.zeros((20, 20, 4), np.uint8), {}, ["unexpected shape for input 'FRAME'"]),
        (np.zeros((20, 20, 3), np.float32), {}, ["'FRAME' data-type is 'FP32'", "UINT8"]),
    ],
)
def test_a_bad_frame_is_one_line_and_hurts_nobody(
    ask: Unary, frame: Any, more: dict[str, Any], words: list[str], videos: list[Frames], expected: Expected
) -> None:
    """Not even its own stream."""
    ask(31, videos[0][0], start=True)
    ask(32, videos[1][0], start=True)
    if isinstance(frame, np.ndarray) and frame.dtype == np.float32:
        with refused(*words):
            _ask_for_float(ask, frame)
    else:
        with refused(*words):
            ask(31, frame, **more)
    assert_same(ask(31, videos[0][1], end=True), expected[0][1])
    assert_same(ask(32, videos[1][1], end=True), expected[1][1])


def _ask_for_float(ask: Unary, frame: Any) -> None:
    given = ask.kind.InferInput("FRAME", frame.shape, "FP32")
    given.set_data_from_numpy(frame)
    ask.client.infer("vpp", [given], sequence_id=31)


def test_neither_frame_nor_picture(server: Server, videos: list[Frames]) -> None:
    ask = over_http(server.http)
    both = [tritonclient.http.InferInput("FRAME", videos[0][0].shape, "UINT8")]
    both[0].set_data_from_numpy(videos[0][0])
    both.append(tritonclient.http.InferInput("JPEG", [1], "BYTES"))
    both[1].set_data_from_numpy(np.array([b"x"], np.object_))
    with refused("a request holds FRAME and JPEG; send FRAME or JPEG"):
        ask.client.infer("vpp", both, sequence_id=1, sequence_start=True, sequence_end=True)


def test_the_probe_finds_it_alive(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"http://{server.http}", "vpp"]) == 0
    assert main([f"http://{server.http}/", "papr"]) == 0
    assert capsys.readouterr().err == ""
    assert main([f"http://{server.http}", "other"]) == 1
    assert "other at" in capsys.readouterr().err
    assert probe("http://127.0.0.1:1", "vpp", 1.0) is not None


def test_classifiers_answer_in_batches(server: Server, papr_bundle: vd.Bundle) -> None:
    """More requests at once than a batch has places; one of them is bad."""
    model = vd.load(papr_bundle, threads=1)
    pictures = [np.random.default_rng(n).integers(0, 256, (80, 90, 3), np.uint8) for n in range(5)]
    expected = model(pictures)
    kind, client = tritonclient.grpc, tritonclient.grpc.InferenceServerClient(server.grpc)
    answers: list[Callable[[], Any]] = []
    for content in [*pictures, b"\xff\xd8\xff no"]:
        encoded = isinstance(content, bytes)
        array = np.array([[content]], np.object_) if encoded else content[None]
        given = kind.InferInput("JPEG" if encoded else "FRAME", array.shape, "BYTES" if encoded else "UINT8")
        given.set_data_from_numpy(array)
        answers.append(_later(client, [given]))
    for answer, result in zip(answers, expected, strict=False):
        assert_array_equal(answer().as_numpy("LABELS")[0], result.labels)
        assert_array_equal(answer().as_numpy("SCORES")[0], result.scores)
        found = json.loads(answer().as_numpy("RESULT")[0, 0])
        assert found["kept"] == {name: kept.tolist() for name, kept in result.kept.items()}
    with refused("a JPEG picture of 6 bytes is damaged"):
        answers[-1]()
    both = kind.InferInput("FRAME", (2, *pictures[0].shape), "UINT8")
    both.set_data_from_numpy(np.stack(pictures[:2]))
    assert_array_equal(client.infer("papr", [both]).as_numpy("LABELS"), np.stack([one.labels for one in expected[:2]]))


def _later(client: Any, inputs: list[Any]) -> Callable[[], Any]:
    done: Future[Any] = Future()

    def finish(result: Any, error: Any) -> None:
        done.set_result(result) if error is None else done.set_exception(error)

    client.async_infer("papr", inputs, finish)
    return lambda: done.result(PATIENCE)
