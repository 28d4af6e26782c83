"""Sources that are no paths: what a name means, and what becomes of servers that give, stop giving, or never answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.clips import write_clip
from tests.media.servers import RtspServer, http_server, silent_server
from vpp_deploy.errors import DeviceError, VideoError, VppDeployError
from vpp_deploy.media import read_video
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.location import Kind, camera_number, kind_of, shown

SIZE = (32, 32)


@contextmanager
def standard_input(path: Path, *, piped: bool) -> Iterator[None]:
    """A block in which a file is redirected to standard input, or piped into it."""
    before = os.dup(0)
    writer = 0
    if piped:
        reader, end = os.pipe()
        os.dup2(reader, 0)
        os.close(reader)
        writer = os.fork()
        if not writer:
            with os.fdopen(end, "wb") as pipe:
                pipe.write(path.read_bytes())
            os._exit(0)
        os.close(end)
    else:
        descriptor = os.open(path, os.O_RDONLY)
        os.dup2(descriptor, 0)
        os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        if writer:
            os.waitpid(writer, 0)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("clip.mp4", Kind.PATH),
        ("a:b", Kind.PATH),
        ("C:/clip.mp4", Kind.PATH),
        ("rtsp://user:secret@10.0.0.5:554/stream?channel=1", Kind.NETWORK),
        ("HTTPS://a.org/b.mp4", Kind.NETWORK),
        ("rtsp://[::1]:554/a", Kind.NETWORK),
        ("0", Kind.CAMERA),
        ("camera:12", Kind.CAMERA),
        ("/dev/video987", Kind.CAMERA),
        ("/dev/video9876", Kind.PATH),
        ("-", Kind.STANDARD_INPUT),
    ],
)
def test_what_a_name_means(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


def test_a_file_that_is_there_is_meant_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0", "-"):
        Path(name).touch()
    assert kind_of("0") is Kind.PATH
    assert kind_of("camera:0") is Kind.CAMERA
    assert kind_of("-") is Kind.STANDARD_INPUT
    assert kind_of("./-") is Kind.PATH


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/key", "addresses of s3: are not read; give http://, https://, rtsp://, rtsps://"),
        ("rtsp:/host/b", "not an address; it has the form rtsp://HOST/PATH"),
        ("rtsp:///b", "not an address"),
        ("http://host:port/b", "not an address"),
        ("file:///a/b.mp4", "give the path alone"),
        ("FILE:/a.mp4", "give the path alone"),
    ],
)
def test_an_address_that_is_not_read_is_named_as_it_was_typed(text: str, words: str) -> None:
    with pytest.raises(VideoError) as caught:
        read_video(text, SIZE)
    assert str(caught.value).startswith(f"{text}: {words}")


def test_passwords_are_not_shown() -> None:
    assert shown("rtsp://me:se@c:ret@host/a") == "rtsp://me:***@host/a"
    assert shown("rtsp://me:secret@host/a:b@c") == "rtsp://me:***@host/a:b@c"
    assert shown("http://host/a:b@c") == "http://host/a:b@c"
    assert shown("http://host/a?user=me&Password=x&n=1") == "http://host/a?user=me&Password=***&n=1"
    assert Path(shown("rtsp://me:secret@host")).name == "me:***@host"
    assert str(InputFile("rtsp://me:secret@host/a")) == "rtsp://me:***@host/a"


def test_cameras_have_numbers() -> None:
    assert [camera_number(text) for text in ("0", "camera:3", "/dev/video12")] == [0, 3, 12]
    assert InputFile(3).path == "camera:3"
    with pytest.raises(DeviceError, match="camera 987"):
        read_video(InputFile(987), SIZE)


def test_a_video_from_a_web_server(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12)
    expected = [frame.original for frame in read_video(clip, SIZE)]
    with http_server(tmp_path) as address:
        reader = read_video(f"{address}/clip.mp4", SIZE)
        assert reader.frame_count == 12
        assert np.array_equal([frame.original for frame in reader], expected)
        assert reader.problem is None
        with pytest.raises(VideoError, match=rf"{address}/none\.mp4: cannot be opened: .*404"):
            read_video(f"{address}/none.mp4", SIZE)


def test_a_playlist_from_the_network_does_not_lead_to_files_of_this_machine(tmp_path: Path) -> None:
    own = write_clip(tmp_path / "own.ts")
    shared = tmp_path / "shared"
    shared.mkdir()
    entries = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nfile://{own}\n#EXT-X-ENDLIST\n"
    (shared / "list.m3u8").write_text(entries)
    with http_server(shared) as address, pytest.raises(VideoError):
        read_video(f"{address}/list.m3u8", SIZE)


def test_a_video_over_rtsp_ends_when_the_server_ends_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=24)
    with RtspServer(clip) as server:
        reader = read_video(server.url, SIZE)
        assert (reader.frame_count, reader.original_size) == (None, (48, 64))
        assert len(list(reader)) >= 22  # the end of a transport stream is cut off with the connection
        assert reader.problem is None


def test_a_camera_that_falls_silent_ends_the_video_and_is_said(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=24)
    with RtspServer(clip, stall=True) as server:
        reader = read_video(InputFile(server.url, timeout=0.5), SIZE)
        assert len(list(reader)) >= 22
        assert reader.problem is not None
        assert "nothing came for 0.5 s" in reader.problem


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_is_given_up(scheme: str) -> None:
    with silent_server() as host:
        begin = time.monotonic()
        with pytest.raises(VideoError, match=r"nothing came for 0\.3 s") as caught:
            read_video(InputFile(f"{scheme}://me:secret@{host}/x", timeout=0.3), SIZE)
        assert time.monotonic() - begin < 60
    assert "secret" not in str(caught.value)


def test_nobody_listens() -> None:
    with pytest.raises(VideoError, match="cannot be opened: Connection refused"):
        read_video("rtsp://127.0.0.1:1/x", SIZE)


@pytest.mark.skipif(os.name != "posix", reason="standard input is replaced as on POSIX")
@pytest.mark.parametrize(
    ("name", "piped"), [("clip.mkv", True), ("clip.ts", True), ("clip.mp4", False), ("clip.mkv", False)]
)
def test_a_video_from_standard_input(tmp_path: Path, name: str, piped: bool) -> None:
    clip = write_clip(tmp_path / name, frames=12)
    expected = [frame.original for frame in read_video(clip, SIZE)]
    with standard_input(clip, piped=piped):
        assert np.array_equal([frame.original for frame in read_video("-", SIZE)], expected)


@pytest.mark.skipif(os.name != "posix", reason="standard input is replaced as on POSIX")
def test_what_is_piped_in_and_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a video")
    clip = write_clip(tmp_path / "clip.mp4", frames=24, size=(240, 320), noise=True)
    for path, words in ((tmp_path / "text", "not a video"), (clip, "faststart"), (Path(os.devnull), "not a video")):
        with standard_input(path, piped=path == clip), pytest.raises(VideoError, match=words):
            read_video("-", SIZE)


@pytest.mark.skipif(os.name != "posix", reason="standard input is replaced as on POSIX")
def test_a_picture_from_standard_input(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (200, 10, 10)).save(tmp_path / "a.png")
    with standard_input(tmp_path / "a.png", piped=True):
        (frame,) = read_video("-", SIZE)
    assert (frame.original == (200, 10, 10)).all()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_is_above_zero(timeout: float) -> None:
    with pytest.raises(VppDeployError, match="timeout is"):
        InputFile("a.mp4", timeout=timeout)
