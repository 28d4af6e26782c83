"""Parts of videos: from a time, to a time, every how many frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.media.clips import write_clip
from tests.media.test_animation import film
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.selection import Selection, parse_time

SIZE = (32, 32)
RATE = 24


def test_times_are_seconds_or_hours_minutes_and_seconds() -> None:
    times = {"90": 90, "1.5": Fraction(3, 2), "1:30": 90, "01:02:03.25": Fraction("3723.25"), "0:00": 0}
    assert {text: parse_time(text) for text in times} == times


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", "1:60", "1:60:00", "1e3", "nan", "1:2:3:4", "٣"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_time(text)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("options", [{}, {"x264-params": "open-gop=1:keyint=24:bframes=3"}])
@pytest.mark.parametrize(("start", "end", "every"), [(0, None, 5), (7.5, None, 1), (1, 2, 3), (9.25, 9.5, 1)])
def test_a_part_is_what_the_whole_has_there(
    tmp_path: Path, suffix: str, options: dict[str, str], start: float, end: float | None, every: int
) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}", frames=240, noise=False, rate=RATE, encoder_options=options)
    whole = list(read_video(clip, SIZE))
    first = whole[0].time
    assert first is not None
    inside = [
        frame
        for frame in whole
        if frame.time is not None and start <= frame.time - first and (end is None or frame.time - first < end)
    ][::every]
    reader = read_video(InputFile(clip, start=start, end=end, every=every), SIZE)
    if reader.frame_count is not None:
        assert abs(reader.frame_count - len(inside)) <= 1
    part = list(reader)
    assert [frame.time for frame in part] == [frame.time for frame in inside]
    assert np.array_equal([frame.original for frame in part], [frame.original for frame in inside])
    assert [frame.index for frame in part] == list(range(len(inside)))
    assert reader.frame_rate == Fraction(RATE, every)
    assert reader.problem is None


def test_a_start_behind_the_end_of_the_video(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=24)
    with pytest.raises(VideoError, match=r"clip\.mp4: no frame in the part that was asked for"):
        read_video(InputFile(clip, start=60), SIZE)


def test_a_film_of_pictures_has_parts(tmp_path: Path) -> None:
    path = film(tmp_path / "film.png", [100, 100, 100, 100, 100, 100])
    reader = read_video(InputFile(path, start=0.1, end=0.5, every=2), SIZE)
    assert [frame.time for frame in reader] == [Fraction(1, 10), Fraction(3, 10)]


def test_images_are_chosen_by_number_alone(tmp_path: Path) -> None:
    for number in range(5):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.png")
    reader = read_video(InputFile(tmp_path, every=2), SIZE, max_frames=2)
    assert reader.frame_count == 2
    assert [frame.name for frame in reader] == ["0.png", "2.png"]
    with pytest.raises(UsageError, match="no times to choose by"):
        read_video(InputFile(tmp_path, end=1), SIZE)


def test_a_raw_stream_without_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.h264", frames=5)
    assert len(list(read_video(InputFile(clip, every=2), SIZE))) == 3
    with pytest.raises(VideoError, match=r"clip\.h264: its frames have no times to choose by"):
        read_video(InputFile(clip, start=1), SIZE)


@pytest.mark.parametrize(
    "options", [{"start": -1}, {"start": 2, "end": 2}, {"end": 0}, {"every": 0}, {"start": float("nan")}]
)
def test_parts_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        InputFile("a.mp4", **options)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(1, 7), st.integers(0, 80))
def test_how_many_will_come_is_how_many_come(start: int, length: int, every: int, frames: int) -> None:
    rate = Fraction(10)
    selection = Selection(start / rate, (start + length) / rate, every)
    items = [(number / rate, number) for number in range(frames)]
    assert selection.count(frames, rate) == len(list(selection.choose(items, "")))
