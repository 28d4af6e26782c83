"""One source in its thread: at its own pace, again and again if it is live, and never longer than it is asked to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media.clips import cut, write_clip
from tests.media.servers import RtspServer, http_server, silent_server
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.serving.live.capture import Capture, Shot, State

PATIENCE = 60.0


class Watched:
    """A capture whose frames and end are noted."""

    def __init__(self, given: InputFile, deliver: Callable[[Shot], None] | None = None) -> None:
        self.shots: list[Shot] = []
        self.ended = threading.Event()
        self.capture = Capture(given, deliver or self.shots.append, self.ended.set, pause=0.05)

    def __enter__(self) -> Watched:
        self.capture.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.capture.stop()
        assert self.ended.wait(PATIENCE)
        self.capture.join(PATIENCE)

    def until(self, reached: Callable[[], bool]) -> None:
        limit = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < limit, (self.capture.state, self.capture.problem, len(self.shots))
            time.sleep(0.01)


def test_a_file_comes_once_and_no_faster_than_its_own_pace(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12)
    with Watched(InputFile(clip)) as watched:
        assert watched.ended.wait(PATIENCE)
    first, *_, last = watched.shots
    assert [shot.index for shot in watched.shots] == list(range(12))
    assert first.time is not None
    assert last.time is not None
    assert last.received - first.received > float(last.time - first.time) - 0.02
    assert (watched.capture.state, watched.capture.problem, watched.capture.frames) == (State.ENDED, None, 12)


def test_a_file_from_a_web_server_comes_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=3)
    with http_server(tmp_path) as address, Watched(InputFile(f"{address}/clip.mp4")) as watched:
        assert watched.ended.wait(PATIENCE)
    assert (watched.capture.state, len(watched.shots)) == (State.ENDED, 3)


def test_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    with Watched(InputFile(tmp_path / "none.mp4")) as watched:
        assert watched.ended.wait(PATIENCE)
    assert watched.capture.state is State.FAILED
    assert "no such file" in str(watched.capture.problem)
    damaged = cut(write_clip(tmp_path / "clip.mkv", frames=12, noise=True), 0.6)
    with Watched(InputFile(damaged)) as watched:
        assert watched.ended.wait(PATIENCE)
    assert watched.capture.state is State.ENDED
    assert 0 < len(watched.shots) < 12
    assert "damaged or cut short" in str(watched.capture.problem)


def test_a_stream_that_breaks_off_is_opened_again_and_its_frames_are_counted_on(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with RtspServer(clip) as server, Watched(InputFile(server.url)) as watched:
        watched.until(lambda: server.clients >= 3 and len(watched.shots) > 24)
    assert [shot.index for shot in watched.shots] == list(range(len(watched.shots)))
    assert watched.capture.state is State.ENDED


def test_a_camera_that_comes_up_later_is_found(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with RtspServer(clip) as before:
        url, port = before.url, before.port
    with Watched(InputFile(url, timeout=1)) as watched:
        watched.until(lambda: watched.capture.state is State.WAITING)
        assert "Connection refused" in str(watched.capture.problem)
        with RtspServer(clip, stall=True, port=port):
            watched.until(lambda: watched.capture.state is State.PLAYING)
            assert watched.capture.problem is None
            watched.until(lambda: len(watched.shots) > 5)
            watched.capture.stop()


def test_a_camera_that_falls_silent_is_opened_again(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with RtspServer(clip, stall=True) as server, Watched(InputFile(server.url, timeout=0.3)) as watched:
        watched.until(lambda: server.clients >= 2)
    assert len(watched.shots) >= 10


@pytest.mark.parametrize(
    "location", ["987", "camera:987", "/dev/video987", "rtsp://127.0.0.1:1/a", "http://127.0.0.1:1/a"]
)
def test_what_may_pass_is_waited_for_from_the_start(location: str) -> None:
    with Watched(InputFile(location)) as watched:
        watched.until(lambda: watched.capture.state is State.WAITING)
        assert re.search("there is no /dev/video987|Connection refused", str(watched.capture.problem))
    assert watched.capture.state is State.ENDED


@pytest.mark.parametrize("location", ["none.mp4", "rtsp:/host/a", "file:///a.mp4", "ftp://host/a.mp4"])
def test_what_cannot_pass_is_final(location: str) -> None:
    with Watched(InputFile(location)) as watched:
        assert watched.ended.wait(PATIENCE)
    assert watched.capture.state is State.FAILED


def test_an_option_that_a_stream_has_no_answer_to_is_final(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=3)
    with RtspServer(clip) as server, Watched(InputFile(server.url, stream=7)) as watched:
        assert watched.ended.wait(PATIENCE)
    assert (watched.capture.state, watched.shots) == (State.FAILED, [])
    assert "no video stream 7" in str(watched.capture.problem)


def test_a_host_that_never_answers_can_be_given_up() -> None:
    with silent_server() as host, Watched(InputFile(f"rtsp://{host}/a", timeout=0.3)) as watched:
        watched.until(lambda: watched.capture.state is State.WAITING)
        assert "nothing came for 0.3 s" in str(watched.capture.problem)


def test_a_fault_of_ours_ends_this_source_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def deliver(shot: Shot) -> None:
        raise ZeroDivisionError("a fault")

    with Watched(InputFile(write_clip(tmp_path / "clip.mp4")), deliver) as watched:
        assert watched.ended.wait(PATIENCE)
    assert watched.capture.state is State.FAILED
    assert "ZeroDivisionError: a fault" in str(watched.capture.problem)
    assert "clip.mp4" in caplog.text
