from __future__ import annotations

import re
from pathlib import Path

import pytest
from av.stream import Disposition

from tests.media.clips import cut, write_audio, write_clip, write_streams
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.frames import Size
from vpp_deploy.media import read_video
from vpp_deploy.media.input_file import InputFile

SIZE = (32, 32)
NONE, DEFAULT = 0, int(Disposition.default)
FILM, SMALL = (48, 64), (32, 32)


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
@pytest.mark.parametrize(
    ("streams", "film"),
    [
        ([(1, (96, 96), NONE), (40, FILM, NONE)], 1),
        ([(1, (96, 96), DEFAULT), (40, FILM, NONE)], 1),
        ([(40, FILM, NONE), (1, (96, 96), NONE)], 0),
        ([(40, SMALL, NONE), (40, FILM, NONE)], 1),
        ([(40, SMALL, NONE), (38, FILM, NONE)], 1),
        ([(40, SMALL, NONE), (20, FILM, NONE)], 0),
        ([(40, FILM, NONE), (40, FILM, NONE)], 0),
        ([(12, FILM, NONE)], 0),
    ],
)
def test_the_film_is_the_long_stream_and_of_those_the_large_one(
    tmp_path: Path, suffix: str, streams: list[tuple[int, Size, int]], film: int
) -> None:
    path = write_streams(tmp_path / f"clip{suffix}", streams)
    reader = read_video(path, SIZE)
    assert reader.original_size == streams[film][1]
    assert len(list(reader)) == streams[film][0]
    if len(streams) == 1:
        assert reader.notes == ()
    else:
        (note,) = reader.notes
        assert re.search(rf"reads video stream {film} \(h264 .*there is also {1 - film} \(h264 .*--stream", note)


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".mkv"])
def test_a_thumbnail_of_another_codec_in_front_does_not_hide_the_film(tmp_path: Path, suffix: str) -> None:
    streams = [(1, (96, 96), NONE), (40, FILM, NONE)]
    path = write_streams(tmp_path / f"clip{suffix}", streams, codecs=["mpeg2video", "libx264"])
    assert len(list(read_video(path, SIZE))) == 40


def test_a_cover_picture_alone_is_no_video_unless_asked_for(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "cover.mp4", [(1, FILM, int(Disposition.attached_pic))], codecs=["mjpeg"])
    with pytest.raises(VideoError, match=r"a cover picture; .*--stream 0"):
        read_video(path, SIZE)
    assert len(list(read_video(path, SIZE, stream=0))) == 1


@pytest.mark.parametrize(
    ("streams", "film"),
    [
        ([(40, FILM, NONE), (20, SMALL, DEFAULT)], 1),
        ([(20, SMALL, DEFAULT), (40, FILM, NONE)], 0),
        ([(1, SMALL, DEFAULT), (40, FILM, NONE)], 1),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_dispositions_come_before_lengths(
    tmp_path: Path, suffix: str, streams: list[tuple[int, Size, int]], film: int
) -> None:
    path = write_streams(tmp_path / f"clip{suffix}", streams)
    assert read_video(path, SIZE).original_size == streams[film][1]


def test_a_stream_can_be_asked_for(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "clip.mkv", [(1, SMALL, NONE), (12, FILM, DEFAULT)])
    reader = read_video(path, SIZE, stream=0)
    assert (reader.original_size, len(list(reader)), reader.notes) == (SMALL, 1, ())
    asked = InputFile(path, stream=0)
    assert asked.notes == ()
    assert read_video(asked, SIZE).original_size == SMALL
    with pytest.raises(UsageError, match=r"no video stream 2 .*: 0 \(h264 32x32\), 1 \(h264 48x64\)"):
        read_video(path, SIZE, stream=2)
    with pytest.raises(UsageError, match="stream is -1"):
        read_video(path, SIZE, stream=-1)
    with pytest.raises(UsageError, match="no video stream 0 in this file; its video streams: none"):
        read_video(write_audio(tmp_path / "sound.m4a"), SIZE, stream=0)


def test_a_stale_duration_tag_is_no_damage(tmp_path: Path) -> None:
    """Programs that cut Matroska files often leave the tag of the long file in them."""
    clip = write_clip(tmp_path / "clip.mkv", frames=24, rate=24)
    data = clip.read_bytes()
    at = data.index(b"00:00:01.0")
    clip.write_bytes(data[:at] + b"01:30:00" + data[at + 8 :])
    reader = read_video(clip, SIZE)
    assert reader.frame_count == 24
    assert len(list(reader)) == 24
    assert reader.problem is None


def test_a_stale_duration_tag_of_a_stream_beside_a_longer_one_is_no_damage(tmp_path: Path) -> None:
    clip = write_streams(tmp_path / "clip.mkv", [(12, FILM, DEFAULT), (48, SMALL, NONE)])
    data = clip.read_bytes()
    assert data.count(b"00:00:00.5") == 1
    clip.write_bytes(data.replace(b"00:00:00.5", b"00:00:02.0"))
    reader = read_video(clip, SIZE)
    assert len(list(reader)) == 12
    assert reader.problem is None
    reader = read_video(cut(clip, 0.8), SIZE)
    list(reader)
    assert "damaged or cut short" in str(reader.problem)


def test_a_live_recording_announces_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=24, container_options={"live": "1"})
    reader = read_video(clip, SIZE)
    assert reader.frame_count is None
    assert len(list(reader)) == 24
    assert reader.problem is None


def test_frames_beyond_the_limit_of_pixels_are_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(48, 64))
    assert read_video(clip, SIZE, max_pixels=48 * 64).original_size == (48, 64)
    with pytest.raises(VideoError, match=r"48x64 .* more than 3071 pixels.*--max-pixels 3072"):
        read_video(clip, SIZE, max_pixels=3071)
    with pytest.raises(UsageError, match="max_pixels is 0"):
        read_video(clip, SIZE, max_pixels=0)
