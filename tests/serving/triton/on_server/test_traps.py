"""What goes wrong around a server that holds streams: lost order, clients that vanish, restarts, processes that die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vpp_deploy as vd
from tests.serving.triton.on_server.clients import (
    PATIENCE,
    InferenceServerException,
    Streaming,
    assert_same,
    frame_input,
    over_grpc,
    over_http,
    refused,
    tritonclient,
)
from tests.serving.triton.on_server.conftest import IDLE_SECONDS, LENGTH, Frames, Start
from tools.triton_server import Server
from vpp_deploy.serving.triton.probe import probe
from vpp_deploy.serving.triton.repository import write_repository
from vpp_deploy.serving.triton.settings import Settings

Expected = list[list[vd.FrameResult]]


@pytest.fixture(scope="module")
def own_repository(micro_bundle: vd.Bundle, snapshots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with one worker."""
    path = tmp_path_factory.mktemp("own")
    settings = Settings(workers=1, max_streams=3, idle_seconds=IDLE_SECONDS, snapshots=str(snapshots))
    write_repository(micro_bundle, path, settings=settings)
    return path


@pytest.fixture(scope="module")
def server(start: Start, own_repository: Path) -> Server:
    return start(own_repository, "--model-control-mode=explicit", "--load-model=vpp")


@pytest.fixture
def measured(server: Server) -> Callable[[str], float]:
    """A metric of the pool, now; 0 where there is none yet. The server knows it as of a request: the probe is one."""

    def read(name: str) -> float:
        time.sleep(1.1)  # it is told once a second
        assert probe(f"http://{server.http}", "vpp") is None
        return sum(float(line.rpartition(" ")[2]) for line in _metrics(server) if re.match(rf"{name}[{{ ]", line))

    return read


def _metrics(server: Server) -> list[str]:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=PATIENCE) as answer:
        return [line for line in answer.read().decode().splitlines() if line.startswith("vpp_")]


def _processes(server: Server) -> set[str]:
    """Whose metrics the server has."""
    return {found[1] for line in _metrics(server) if (found := re.search(r'process="(\d+)"', line))}


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_unary_requests_without_order_are_found_and_sent_again(
    server: Server, videos: list[Frames], expected: Expected
) -> None:
    """Requests in flight at once overtake each other: a frame number makes that an error, and a retry safe."""
    ask, done = over_grpc(server.grpc), {}
    done[0] = ask("unordered", videos[0][0], start=True, number=0)
    for number, future in [(number, _async(ask, videos[0][number], number)) for number in range(1, LENGTH)]:
        answer = future.result(PATIENCE)
        if isinstance(answer, InferenceServerException):
            assert f"frame {number} comes after frame" in str(answer)
        else:
            done[number] = answer
    for number in range(1, LENGTH):  # a frame that has run is answered again, the others run now
        answer = ask("unordered", videos[0][number], number=number) if number >= max(done) else done.get(number)
        if answer is not None:
            done[number] = answer
    assert sorted(done) == list(range(LENGTH))
    for number, answer in done.items():
        assert_same(answer, expected[0][number])
    ask("unordered", videos[0][0], start=True, end=True)


def _async(ask: Any, frame: Any, number: int) -> Future[Any]:
    """The answer, or the error as a result."""
    done: Future[Any] = Future()
    inputs, given = frame_input(tritonclient.grpc, frame), {"number": number}

    def finish(result: Any, error: Any) -> None:
        done.set_result(result if error is None else error)

    ask.client.async_infer("vpp", inputs, finish, sequence_id="unordered", parameters=given)
    return done


def test_the_last_number_again_is_the_same_answer_and_a_lost_frame_an_error(
    server: Server, videos: list[Frames], expected: Expected
) -> None:
    ask = over_http(server.http)
    ask("numbered", videos[0][0], start=True, number=40)
    for _ in range(3):
        assert_same(ask("numbered", videos[0][1], number=41), expected[0][1])
    with refused("frame 43 comes after frame 41; send frame 42"):
        ask("numbered", videos[0][3], number=43)
    assert_same(ask("numbered", videos[0][2], number=42, end=True), expected[0][2])


def test_the_answer_to_an_end_can_be_had_again(server: Server, videos: list[Frames], expected: Expected) -> None:
    """As a sequence of its own, since Triton lets nothing pass behind an end."""
    ask = over_http(server.http)
    ask("answered", videos[0][0], start=True, number=0)
    ask("answered", videos[0][1], end=True, number=1)
    with refused("[400]", "must specify the START flag"):
        ask("answered", videos[0][1], end=True, number=1)
    for _ in range(2):
        assert_same(ask("answered", videos[0][1], start=True, end=True, number=1, resume=True), expected[0][1])
    with refused("stream 'answered' has no snapshot; start it anew"):
        ask("answered", videos[0][2], start=True, end=True, number=2, resume=True)
    assert_same(ask("answered", videos[1][0], start=True, end=True, number=1), expected[1][0])


def test_a_lost_frame_before_the_last_costs_no_snapshot(
    server: Server, videos: list[Frames], expected: Expected
) -> None:
    """Triton ends the sequence with the last frame, whatever becomes of that; the stream is begun where it was."""
    ask = over_http(server.http)
    ask("cut short", videos[0][0], start=True, number=0)
    with refused("frame 2 comes after frame 0; send frame 1"):
        ask("cut short", videos[0][2], number=2, end=True)
    assert_same(ask("cut short", videos[0][1], start=True, number=1, resume=True), expected[0][1])
    assert_same(ask("cut short", videos[0][2], number=2, end=True), expected[0][2])


def test_two_videos_of_one_id_at_once_give_errors_and_no_wrong_answer(
    server: Server, videos: list[Frames], expected: Expected
) -> None:
    """Triton runs a sequence that is begun before the answer of the last one's END side by side with that."""
    ask, right = Streaming(server.grpc), 0
    try:
        for video, first in ((0, 0), (1, 100)):
            for number in range(3):
                frame, flags = videos[video][number], {"start": number == 0, "end": number == 2}
                ask.send("shared", frame, **flags, number=first + number)
        for _ in range(6):
            answer = ask.answers.get(timeout=PATIENCE)
            if not isinstance(answer, Exception):
                number = int(answer.get_response().id.split()[1])
                assert_same(answer, expected[number // 100][number % 100])
                right += 1
    finally:
        ask.close()
    assert right > 0


def test_sequences_begin_end_and_begin_again(server: Server, videos: list[Frames], expected: Expected) -> None:
    ask = over_http(server.http)
    with refused("[400]", "must specify the START flag"):
        ask("s", videos[0][0])
    assert_same(ask("s", videos[0][0], start=True), expected[0][0])
    assert_same(ask("s", videos[0][1]), expected[0][1])
    assert_same(ask("s", videos[1][0], start=True), expected[1][0])
    assert_same(ask("s", videos[1][1], end=True), expected[1][1])
    with refused("[400]", "must specify the START flag"):
        ask("s", videos[1][2])


def test_a_client_that_vanishes_leaves_nothing(
    server: Server, videos: list[Frames], measured: Callable[[str], float]
) -> None:
    ask, before = over_http(server.http), measured("vpp_expired_streams_total")
    ask("vanishing", videos[0][0], start=True)
    eventually(lambda: measured("vpp_streams") == 1)
    eventually(lambda: measured("vpp_streams") == 0)
    eventually(lambda: measured("vpp_expired_streams_total") == before + 1)
    with refused("[400]", "must specify the START flag"):
        ask("vanishing", videos[0][1])


def test_frames_that_a_dead_stream_has_left_are_not_run(
    server: Server, videos: list[Frames], expected: Expected, measured: Callable[[str], float]
) -> None:
    before, streaming = measured("vpp_errors_total"), Streaming(server.grpc)
    for number in range(20):
        streaming.send("dying", videos[0][number % LENGTH], start=number == 0)
    next(streaming.receive(1))
    streaming.close(cancel=True)
    eventually(lambda: measured("vpp_waiting_frames") == 0 and measured("vpp_streams") == 0)
    assert before < measured("vpp_errors_total") < before + 20
    ask = over_http(server.http)
    assert_same(ask("dying", videos[0][0], start=True, end=True), expected[0][0])


def test_one_stream_too_many_is_refused_at_once(server: Server, videos: list[Frames], expected: Expected) -> None:
    ask = over_http(server.http)
    for stream in range(3):
        ask(f"full {stream}", videos[0][0], start=True)
    with refused("[503]", "3 streams are open, as many as may be"):
        ask("full 3", videos[0][0], start=True)
    assert probe(f"http://{server.http}", "vpp") is None  # busy, and alive
    ask("full 0", videos[0][1], end=True)
    assert_same(ask("full 3", videos[0][0], start=True, end=True), expected[0][0])
    for stream in (1, 2):
        ask(f"full {stream}", videos[0][1], end=True)


def test_a_flood_of_one_stream_is_refused_beyond_what_may_wait(server: Server, videos: list[Frames]) -> None:
    streaming = Streaming(server.grpc)
    for number in range(60):
        streaming.send("flood", videos[0][0], start=number == 0)
    answers = [streaming.answers.get(timeout=PATIENCE) for _ in range(60)]
    streaming.send("flood", videos[0][0], end=True)
    streaming.answers.get(timeout=PATIENCE)
    streaming.close()
    errors = [str(answer) for answer in answers if isinstance(answer, Exception)]
    assert errors
    assert all("32 of its frames wait already" in error for error in errors)


def test_a_new_configuration_loses_streams_and_their_snapshots_save_them(
    server: Server,
    own_repository: Path,
    videos: list[Frames],
    expected: Expected,
    measured: Callable[[str], float],
) -> None:
    ask, path = over_http(server.http), own_repository / "vpp" / "config.pbtxt"
    for number in range(2):
        ask("reloaded", videos[0][number], start=number == 0, number=number)
    path.write_text(path.read_text().replace('string_value: "32"', 'string_value: "31"'))
    ask.client.load_model("vpp")
    with refused("[400]", "must specify the START flag"):
        ask("reloaded", videos[0][2], number=2)
    for number in (2, 3):
        answer = ask("reloaded", videos[0][number], start=number == 2, number=number, **_resume(number == 2))
        assert_same(answer, expected[0][number])
    ask("reloaded", videos[0][4], end=True, number=4)
    eventually(lambda: measured("vpp_frames_total") >= 3 and len(_processes(server)) == 1)
    with refused("stream 'reloaded' has no snapshot; start it anew"):  # it has ended
        ask("reloaded", videos[0][5], start=True, number=5, resume=True)


def _resume(wanted: bool) -> dict[str, bool]:
    return {"resume": True} if wanted else {}


def test_a_dead_process_is_seen_by_the_probe_alone_until_the_model_is_loaded_again(
    server: Server, videos: list[Frames], expected: Expected
) -> None:
    ask, url = over_http(server.http), f"http://{server.http}"
    ask("dead", videos[0][0], start=True, number=0)
    assert probe(url, "vpp") is None
    os.kill(_stub(server), signal.SIGKILL)
    with refused():
        ask("dead", videos[0][1], number=1)
    assert ask.client.is_server_live()
    assert ask.client.is_server_ready()
    problem = probe(url, "vpp")
    assert problem is not None
    assert "vpp at" in problem
    ask.client.unload_model("vpp")
    eventually(lambda: not ask.client.is_model_ready("vpp"))
    ask.client.load_model("vpp")
    assert probe(url, "vpp") is None
    answer = ask("dead", videos[0][1], start=True, number=1, resume=True)
    assert_same(answer, expected[0][1])
    ask("dead", videos[0][2], end=True, number=2)


def _stub(server: Server) -> int:
    """The process of the model, a child of the server's."""
    eventually(lambda: len(_stubs(server)) == 1)  # one that was loaded anew has two for a moment
    return _stubs(server)[0]


def _stubs(server: Server) -> list[int]:
    parent = f"PPid:\t{server.process.pid}\n"
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if parent in _status(folder)]


def _status(folder: Path) -> str:
    try:
        return (folder / "status").read_text() if b"stub" in (folder / "cmdline").read_bytes() else ""
    except OSError:  # it has ended meanwhile
        return ""


@pytest.fixture
def mortal(start: Start, repository: Path) -> Server:
    """A server that a test ends."""
    return start(repository)


def test_streams_go_on_after_a_kill(mortal: Server, start: Start, videos: list[Frames], expected: Expected) -> None:
    """With the frame that was lost, or with the one whose answer was."""
    ask = over_http(mortal.http)
    for number in range(3):
        for stream in ("killed 0", "killed 1"):
            ask(stream, videos[int(stream[-1])][number], start=number == 0, number=number)
    mortal.kill()
    ask = over_http(start().http)
    with refused("has no snapshot of frame 4, the last one is of frame 2; resume with frame 3"):
        ask("killed 0", videos[0][5], start=True, number=5, resume=True)
    for stream, following in (("killed 0", 3), ("killed 1", 2)):
        for number in range(following, LENGTH):
            first = number == following
            frame = videos[int(stream[-1])][number]
            answer = ask(stream, frame, start=first, end=number == LENGTH - 1, number=number, **_resume(first))
            assert_same(answer, expected[int(stream[-1])][number])


def test_a_server_that_is_asked_to_end_serves_open_streams_and_no_new_ones(
    mortal: Server, start: Start, videos: list[Frames], expected: Expected
) -> None:
    """What it has not served when its patience ends goes on elsewhere."""
    ask = over_grpc(mortal.grpc)
    assert_same(ask("ending", videos[2][0], start=True, number=0), expected[2][0])
    os.kill(mortal.process.pid, signal.SIGTERM)
    time.sleep(1)
    assert_same(ask("ending", videos[2][1], number=1), expected[2][1])
    with refused():
        ask("new", videos[2][0], start=True, number=0)
    eventually(lambda: mortal.process.poll() is not None or b"Exiting immediately" in mortal.log.read_bytes())
    mortal.kill()
    ask = over_grpc(start().grpc)
    assert_same(ask("ending", videos[2][2], start=True, number=2, resume=True), expected[2][2])
    ask("ending", videos[2][3], end=True, number=3)


def test_a_numpy_that_the_server_would_garble_is_refused(start: Start, repository: Path, tmp_path: Path) -> None:
    """NumPy 2 with this server: inputs would be garbage, in silence."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    pip = [
        tmp_path / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--retries",
        "1",
        "numpy>=2,<2.4",
    ]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no NumPy 2 to try: {done.stderr[-200:]}")
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{Path(np.__file__).parents[1]}\n")  # of which NumPy 1 comes too late
    with pytest.raises(RuntimeError) as caught:
        start(repository, variables={"PATH": os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])})
    assert "does not fit this Triton server, which would garble frames and results" in str(caught.value)
    assert np.__version__.startswith("1.")
