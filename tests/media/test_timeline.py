from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.clips import write_clip
from vpp_deploy.media import read_video
from vpp_deploy.media.timeline import Timeline

SIZE = (32, 32)
B_FRAMES = {"preset": "fast", "bf": "3", "b_strategy": "0"}
TIMES = st.lists(st.fractions(min_value=-(2**40), max_value=2**40) | st.none(), max_size=30)


@given(times=TIMES, rate=st.none() | st.fractions(min_value=Fraction(1, 100), max_value=1000), broadcast=st.booleans())
def test_times_only_ever_grow(times: list[Fraction | None], rate: Fraction | None, broadcast: bool) -> None:
    timeline = Timeline(rate, Fraction(1, 90_000), broadcast=broadcast)
    made = [timeline.next(time) for time in times]
    known = [time for time in made if time is not None]
    assert made[len(made) - len(known) :] == known  # once there is a time, there always is
    assert all(after > before for before, after in pairwise(known))


@given(steps=st.lists(st.fractions(min_value=Fraction(1, 1000), max_value=9), max_size=30), broadcast=st.booleans())
def test_times_that_grow_stay_as_they_are(steps: list[Fraction], broadcast: bool) -> None:
    times = [sum(steps[:count], Fraction(7)) for count in range(len(steps) + 1)]
    timeline = Timeline(Fraction(25), Fraction(1, 1000), broadcast=broadcast)
    assert [timeline.next(time) for time in times] == times
    assert timeline.jumps == 0


def test_a_pause_in_a_file_is_a_pause_and_in_a_broadcast_a_clock_that_was_set() -> None:
    times = [Fraction(0), Fraction(1, 25), Fraction(3600), Fraction(3600) + Fraction(1, 25)]
    file, broadcast = (Timeline(Fraction(25), None, broadcast=kind) for kind in (False, True))
    assert [file.next(time) for time in times] == times
    assert [broadcast.next(time) for time in times] == [Fraction(number, 25) for number in range(4)]
    assert (file.jumps, broadcast.jumps) == (0, 1)


def test_a_time_that_is_told_twice_moves_by_one_tick() -> None:
    timeline = Timeline(Fraction(25), Fraction(1, 1000), broadcast=True)
    times = [timeline.next(time) for time in (Fraction(0), Fraction(1, 25), Fraction(1, 25), Fraction(2, 25))]
    assert times == [0, Fraction(1, 25), Fraction(41, 1000), Fraction(2, 25)]
    assert timeline.jumps == 0


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("count", [12, 25])
@pytest.mark.parametrize("options", [{}, B_FRAMES], ids=["in order", "B-frames"])
def test_joined_transport_streams_are_one_video(
    tmp_path: Path, parts: int, count: int, options: dict[str, str]
) -> None:
    part = write_clip(tmp_path / "part.ts", frames=count, rate=25, encoder_options=options)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * parts)
    reader = read_video(joined, SIZE)
    times = [frame.time for frame in reader]
    assert len(times) == count * parts
    assert {after - before for before, after in pairwise(times)} == {Fraction(1, 25)}
    assert reader.problem is None
    (note,) = reader.notes
    assert f"its clock jumps {'once' if parts == 2 else '2 times'}" in note


def test_b_frames_in_avi_have_times_in_order(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=24, rate=24, encoder_options=B_FRAMES)
    reader = read_video(clip, SIZE)
    assert [frame.time for frame in reader] == [Fraction(index, 24) for index in range(24)]
    assert reader.notes == ()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_b_frames_copied_out_of_avi_have_times_in_order(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=24, rate=25, encoder_options=B_FRAMES)
    reader = read_video(copied(clip, tmp_path / f"copy{suffix}"), SIZE)
    times = [frame.time for frame in reader]
    assert len(times) == 24
    assert {after - before for before, after in pairwise(times)} == {Fraction(1, 25)}
    assert (reader.problem, reader.notes) == (None, ())


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".mov"])
@pytest.mark.parametrize("options", [{}, B_FRAMES, B_FRAMES | {"b_strategy": "2", "bf": "8"}])
def test_true_times_stay_as_they_are(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    times = [Fraction(ticks, 1000) for ticks in (0, 40, 120, 160, 1000, 1040, 1080, 3000, 3040, 3500, 3540, 3580)]
    clip = write_clip(tmp_path / f"clip{suffix}", times=times, encoder_options=options)
    read = [frame.time for frame in read_video(clip, SIZE)]
    assert [time - read[0] for time in read] == times


def copied(source: Path, target: Path) -> Path:
    """The packets of a video in another container, as they are."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    return target
