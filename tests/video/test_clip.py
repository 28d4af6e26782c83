from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.demo.clip import _bounce, _wrap, synthetic_frames, write_synthetic_clip
from vpp_deploy.errors import UsageError
from vpp_deploy.video import read_video


def test_the_seed_decides_everything() -> None:
    first, again, other = (np.stack(list(synthetic_frames(frames=3, size=(64, 96), seed=seed))) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_frames_move_smoothly_and_objects_stand_out() -> None:
    frames = np.stack(list(synthetic_frames(frames=12, size=(90, 160), objects=4, seed=1))).astype(int)
    ground = np.stack(list(synthetic_frames(frames=12, size=(90, 160), objects=0, seed=1))).astype(int)
    step = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert (step > 0.3).all()
    assert (step < 30).all()
    changed = np.abs(frames - ground).max(-1) > 40
    assert 0.02 < changed.mean() < 0.6


def test_motion_is_a_function_of_time() -> None:
    slow = list(synthetic_frames(frames=4, size=(64, 96), fps=5))
    fast = list(synthetic_frames(frames=7, size=(64, 96), fps=10))
    for index in range(4):
        np.testing.assert_array_equal(slow[index], fast[2 * index])


@given(start=st.floats(0, 1), way=st.floats(-1e4, 1e4), margin=st.floats(1, 40))
def test_bouncing_stays_inside_and_is_continuous(start: float, way: float, margin: float) -> None:
    here, there = _bounce(start, way, 200, margin), _bounce(start, way + 0.5, 200, margin)
    assert margin <= here <= 200 - margin
    assert abs(here - there) <= 0.5 + 1e-6


def test_crossing_leaves_on_one_side_and_enters_on_the_other() -> None:
    positions = np.array([_wrap(0.5, way, 200, 30) for way in range(400)])
    outside = (positions < -30) | (positions > 230)
    jumps = np.flatnonzero(np.abs(np.diff(positions)) > 1.01)
    assert len(jumps) == 1
    assert outside[jumps].all()
    assert outside[jumps + 1].all()
    assert not outside[0]
    assert not outside[-1]


def test_the_clip_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_synthetic_clip(path, frames=6, size=(72, 128), fps=12)
    reader = read_video(path, (72, 128))
    frames = list(reader)
    assert reader.problem is None
    assert [frame.time for frame in frames] == [Fraction(index, 12) for index in range(6)]
    for frame, picture in zip(frames, synthetic_frames(frames=6, size=(72, 128), fps=12), strict=True):
        assert np.abs(frame.original.astype(int) - picture).mean() < 8


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"fps": 0}, {"objects": -1}, {"size": (16, 64)}])
def test_senseless_numbers_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="synthetic clip"):
        synthetic_frames(**wrong)
