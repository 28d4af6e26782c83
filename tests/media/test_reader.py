from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import SHARED
from tests.media.clips import cut, picture, write_audio, write_clip
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.display_matrix import turn_upright

SIZE = (32, 32)


def is_red(pixel: np.ndarray) -> bool:
    return pixel[0] > 180 and pixel[1] < 70 and pixel[2] < 70


def test_constant_rate_file_gives_every_frame_with_exact_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12, size=(48, 64), rate=24)
    with read_video(clip, SIZE) as reader:
        assert (reader.path, reader.size, reader.original_size) == (clip, SIZE, (48, 64))
        assert reader.frame_rate == 24
        assert reader.frame_count == 12
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == [Fraction(index, 24) for index in range(12)]
    assert {frame.name for frame in frames} == {""}
    for index, frame in enumerate(frames):
        assert frame.image.shape == (32, 32, 3)
        assert frame.content_size == (24, 32)
        assert np.abs(frame.original.astype(int) - picture(index, (48, 64)))[:20, :28].max() < 20
    assert reader.problem is None


def test_variable_rate_times_survive_exactly(tmp_path: Path) -> None:
    times = [Fraction(ticks, 90_000) for ticks in (0, 3003, 9009, 90_000, 90_001, 200_000)]
    clip = write_clip(tmp_path / "clip.mp4", frames=6, times=times)
    assert [frame.time for frame in read_video(clip, SIZE)] == times


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    reader = read_video(write_clip(tmp_path / f"clip{suffix}"), SIZE)
    assert len(list(reader)) == 12
    assert reader.problem is None


def test_odd_size(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(47, 63), pixel_format="yuv444p")
    frame = next(read_video(clip, SIZE))
    assert frame.original.shape == (47, 63, 3)


@pytest.mark.parametrize(
    ("rotation", "hflip", "size", "red_corner"),
    [
        (0, False, (48, 64), (0, 0)),
        (90, False, (64, 48), (-1, 0)),
        (180, False, (48, 64), (-1, -1)),
        (270, False, (64, 48), (0, -1)),
        (0, True, (48, 64), (0, -1)),
    ],
)
def test_frames_come_out_upright(
    tmp_path: Path, rotation: int, hflip: bool, size: tuple[int, int], red_corner: tuple[int, int]
) -> None:
    """The rotation is counterclockwise, so a quarter turn takes the red top left corner to the bottom left."""
    clip = write_clip(tmp_path / "clip.mp4", rotation=rotation, hflip=hflip)
    reader = read_video(clip, SIZE)
    assert reader.original_size == size
    image = next(reader).original
    assert image.shape == (*size, 3)
    assert image.flags.c_contiguous
    corners = {(row, column) for row in (0, -1) for column in (0, -1) if is_red(image[row, column])}
    assert corners == {red_corner}


@pytest.mark.parametrize("matrix", [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[0, 1], [1, 0]], [[-1, 0], [0, 1]]])
def test_display_matrix_moves_points_as_the_standard_says(matrix: list[list[int]]) -> None:
    (a, b), (c, d) = matrix
    image = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    full = np.zeros((3, 3), np.int32)
    full[:2, :2] = np.array(matrix) * 65536
    turned = turn_upright(image, full)
    points = [(a * x + c * y, b * x + d * y) for y in range(3) for x in range(5)]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    for (x, y), pixel in zip(points, image.reshape(-1, 3), strict=True):
        np.testing.assert_array_equal(turned[y - top, x - left], pixel)


def test_max_frames_stops_early(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    reader = read_video(clip, SIZE, max_frames=5)
    assert reader.frame_count == 5
    assert len(list(reader)) == 5
    assert reader.problem is None
    with pytest.raises(UsageError, match="max_frames is 0"):
        read_video(clip, SIZE, max_frames=0)


def test_a_reader_is_one_pass_and_closing_ends_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    reader = read_video(clip, SIZE)
    next(reader)
    reader.close()
    assert list(reader) == []


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7, 0.9])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_file_gives_what_it_has_and_says_so(tmp_path: Path, suffix: str, share: float) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    clip = write_clip(tmp_path / f"clip{suffix}", frames=24, noise=True, container_options=options)
    whole = list(read_video(clip, SIZE))
    reader = read_video(cut(clip, share), SIZE)
    frames = list(reader)
    assert 0.5 * share * 24 < len(frames) < 24
    for before, after in zip(whole[: len(frames) - 1], frames[:-1], strict=True):
        np.testing.assert_array_equal(before.original, after.original)
    assert reader.problem is not None
    assert "damaged or cut short" in reader.problem
    assert "\n" not in reader.problem


def test_a_cut_transport_stream(tmp_path: Path) -> None:
    """A transport stream announces no length: only the packet that the cut goes through can tell."""
    clip = write_clip(tmp_path / "clip.ts", frames=24, noise=True)
    reader = read_video(cut(clip, 0.6), SIZE)
    assert 5 < len(list(reader)) < 24
    assert reader.problem is not None


def test_decoding_goes_on_after_a_hole(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=24, noise=True, container_options={"movflags": "faststart"})
    data = bytearray(clip.read_bytes())
    start = len(data) // 2
    data[start : start + 4000] = bytes(4000)
    clip.write_bytes(data)
    reader = read_video(clip, SIZE)
    frames = list(reader)
    assert frames[-1].time == Fraction(23, 24)
    assert reader.problem is not None


def test_nothing_decodable_is_an_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", noise=True, container_options={"movflags": "faststart"})
    data = clip.read_bytes()
    start = data.index(b"mdat") + 4
    clip.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(VideoError, match="no frame could be decoded"):
        read_video(clip, SIZE)


def test_a_codec_without_decoder(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match="no decoder"):
        read_video(clip, SIZE)


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
def test_a_size_change_in_mid_stream(tmp_path: Path, suffix: str) -> None:
    small = write_clip(tmp_path / f"small{suffix}", frames=10, size=(48, 64))
    big = write_clip(tmp_path / f"big{suffix}", frames=10, size=(96, 80))
    both = tmp_path / f"both{suffix}"
    both.write_bytes(small.read_bytes() + big.read_bytes())
    reader = read_video(both, SIZE)
    assert [next(reader).index for _ in range(10)] == list(range(10))
    with pytest.raises(VideoError, match=r"frame 10 is 96x80 .*before it are 48x64.*convert it to one size"):
        next(reader)
    assert list(reader) == []


def test_raw_streams_have_no_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.h264", frames=5)
    assert [frame.time for frame in read_video(clip, SIZE)] == [None] * 5


def one_line(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        read_video(path, SIZE)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_every_kind_of_wrong_path_has_its_own_message(tmp_path: Path) -> None:
    empty, text, fake, folder = (tmp_path / name for name in ("empty.mp4", "notes.txt", "fake.mp4", "folder"))
    empty.touch()
    text.write_text("not a video\n" * 100)
    fake.write_text("not a video\n" * 100)
    folder.mkdir()
    unfinished = write_clip(tmp_path / "unfinished.mp4", noise=True)
    messages = [
        one_line(tmp_path / "nowhere.mp4"),
        one_line(empty),
        one_line(text),
        one_line(fake),
        one_line(folder),
        one_line(write_audio(tmp_path / "sound.m4a")),
        one_line(cut(unfinished, 0.5)),
    ]
    expected = ["no such file", "is empty", "a text file", "not a video", "no images", "it has: audio", "cut off"]
    assert all(part in message for part, message in zip(expected, messages, strict=True)), messages


@pytest.mark.parametrize("name", ["street", "arm_wrestling"])
def test_real_clips(name: str) -> None:
    clip = SHARED / "video" / f"{name}.mp4"
    if not clip.is_file():
        pytest.skip(f"no clip {clip}")
    reader = read_video(clip, (384, 640), max_frames=8)
    frames = list(reader)
    assert len(frames) == 8
    assert reader.problem is None
    times = [frame.time for frame in frames]
    assert times == [index / reader.frame_rate for index in range(8)]


@pytest.mark.parametrize("version", ["18.1.0", "19.0.0", "20.0.0rc1"])
def test_pyav_is_asked_for_what_its_version_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """From version 19 on there is no `metadata_errors`: it decodes leniently by itself."""
    clip, real = write_clip(tmp_path / "clip.mp4"), av.open

    def opened(*words: Any, **settings: Any) -> Any:
        assert ("metadata_errors" in settings) == version.startswith("18")
        return real(*words, **settings)

    monkeypatch.setattr(av, "__version__", version)
    monkeypatch.setattr(av, "open", opened)
    assert len(list(read_video(clip, SIZE))) == 12
