from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.clips import write_clip
from vpp_deploy.errors import DependencyError, OutputError, VideoError
from vpp_deploy.media import VideoWriter, read_video

SIZE = (48, 64)
GREY = np.full((*SIZE, 3), 128, np.uint8)


def times_of(path: Path) -> list[Fraction | None]:
    return [frame.time for frame in read_video(path, SIZE)]


@pytest.mark.parametrize("rate", [12, 25, Fraction(24_000, 1001), Fraction(30_000, 1001)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_constant_rate_is_exact(tmp_path: Path, rate: Fraction | int, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    with VideoWriter(path, SIZE, rate) as writer:
        for _ in range(7):
            writer.write(GREY)
    assert times_of(path) == [index / Fraction(rate) for index in range(7)]
    reader = read_video(path, SIZE)
    assert reader.frame_rate == rate
    assert reader.frame_count == 7


def test_variable_times_survive_a_round_trip(tmp_path: Path) -> None:
    times = [Fraction(ticks, 90_000) for ticks in (0, 3003, 9009, 90_000, 90_001, 200_000)]
    source = write_clip(tmp_path / "source.mp4", frames=6, times=times)
    reader = read_video(source, SIZE)
    target = tmp_path / "target.mp4"
    with VideoWriter(target, SIZE, reader.frame_rate, reader.time_base) as writer:
        for frame in reader:
            writer.write(frame.original, frame.time)
    assert times_of(target) == times


def test_the_video_starts_at_zero_whatever_the_source_says(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, SIZE, 10) as writer:
        for index in range(3):
            writer.write(GREY, Fraction(7, 5) + Fraction(index, 10))
    assert times_of(path) == [0, Fraction(1, 10), Fraction(2, 10)]


def test_times_that_stand_still_or_run_back_are_pushed_on(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, SIZE, 10) as writer:
        for time in (0, Fraction(1, 10), Fraction(1, 10), 0, Fraction(2, 10)):
            writer.write(GREY, Fraction(time))
    times = times_of(path)
    assert len(times) == 5
    assert times == sorted({time for time in times if time is not None})
    assert times[-1] == Fraction(2, 10)


def test_matroska_keeps_times_to_a_millisecond(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with VideoWriter(path, SIZE, Fraction(30_000, 1001)) as writer:
        for _ in range(5):
            writer.write(GREY)
    assert [
        abs(time - index * Fraction(1001, 30_000)) <= Fraction(1, 1000) for index, time in enumerate(times_of(path))
    ]


def test_pictures_survive(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    colours = [(220, 20, 20), (20, 200, 40), (30, 30, 220), (240, 230, 30), (255, 255, 255), (0, 0, 0)]
    with VideoWriter(path, SIZE) as writer:
        for colour in colours:
            writer.write(np.full((*SIZE, 3), colour, np.uint8))
    for frame, colour in zip(read_video(path, SIZE), colours, strict=True):
        assert np.abs(frame.original.astype(int) - colour).max() <= 6


def test_the_file_is_plain_h264_with_its_colours_tagged(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, SIZE, 10) as writer:
        writer.write(GREY)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace, context.color_range) == ("h264", "yuv420p", 1, 1)


def test_odd_sizes_grow_by_repeating_the_edge(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    image = np.zeros((47, 63, 3), np.uint8)
    image[-8:] = 200
    with VideoWriter(path, (47, 63), 10) as writer:
        writer.write(image)
    frame = next(read_video(path, SIZE))
    assert frame.original.shape == (48, 64, 3)
    assert frame.original[-1].min() > 180


@pytest.mark.parametrize("name", ["clip.avi", "clip", "clip.mp4.txt"])
def test_other_extensions_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.mp4"):
        VideoWriter(tmp_path / name, SIZE, 10)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_targets_fail_in_the_constructor(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for target in ("nowhere/clip.mp4", "file/clip.mp4", "folder.mp4"):
        with pytest.raises(OutputError) as caught:
            VideoWriter(tmp_path / target, SIZE, 10)
        assert "\n" not in str(caught.value)
        assert target in str(caught.value)


def test_without_an_encoder_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", frozenset({"mpeg4"}))
    with pytest.raises(DependencyError, match="pip install av"):
        VideoWriter(tmp_path / "clip.mp4", SIZE, 10)


@pytest.mark.parametrize("frames", [0, 1, 30])
def test_nothing_is_left_after_an_exception(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"before")

    def write_and_fail() -> None:
        with VideoWriter(path, SIZE, 10) as writer:
            for _ in range(frames):
                writer.write(GREY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    resource = pytest.importorskip("resource")
    rng = np.random.default_rng(0)

    def write_many() -> None:
        with VideoWriter(tmp_path / f"clip{suffix}", SIZE, 10) as writer:
            for _ in range(100):
                writer.write(rng.integers(0, 256, (*SIZE, 3), np.uint8))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputError, match="writing failed") as caught:
            write_many()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"\[48, 62, 3\].*\[48, 64, 3\]"),
        VideoWriter(tmp_path / "a.mp4", SIZE) as writer,
    ):
        writer.write(GREY[:, :62])
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no frame was written"), VideoWriter(tmp_path / "clip.mp4", SIZE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_the_target_is_left_after_success(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", SIZE, 10) as writer:
        writer.write(GREY)
        assert not (tmp_path / "clip.mp4").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [(16, 16_500), (16_386, 2), (1, 16_385)])
def test_frames_that_h264_cannot_have_are_refused_before_the_first(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(OutputError, match=rf"{size[0]}x{size[1]} .* too large for H\.264, .* at most 16384"):
        VideoWriter(tmp_path / "wide.mp4", size)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(2, 16_384), (16_384, 1)])
def test_the_widest_and_the_highest_frames_are_written(tmp_path: Path, size: tuple[int, int]) -> None:
    with VideoWriter(tmp_path / "long.mkv", size) as writer:
        writer.write(np.zeros((*size, 3), np.uint8))
    assert (tmp_path / "long.mkv").stat().st_size > 0


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"%d:x", "é".encode() * 120])
def test_folders_and_files_of_every_name(tmp_path: Path, name: bytes, suffix: str) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    path = folder / (os.fsdecode(name) + suffix)
    for _ in range(2):
        with VideoWriter(path, SIZE, 10) as writer:
            writer.write(GREY)
        assert os.listdir(folder) == [path.name]
    with path.open("rb") as file, av.open(file) as container:
        assert len(list(container.decode(video=0))) == 1
