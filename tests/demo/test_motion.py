from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.demo import motion

SIZE = (96, 144)
seeds = st.integers(0, 10_000)
frames = st.integers(1, 60)
speeds = st.floats(0.5, 12)
diameters = st.floats(10, 60)


@given(seed=seeds, frames=frames, speed=speeds, diameter=diameters)
def test_a_roaming_thing_stays_in_the_frame_and_keeps_its_speed(
    seed: int, frames: int, speed: float, diameter: float
) -> None:
    path = motion.roaming(frames, SIZE, np.array([50.0, 70.0]), diameter, speed, 3.0, np.random.default_rng(seed))
    assert path.centres.shape == (frames, 2)
    assert (path.centres >= 0).all()
    assert (path.centres <= SIZE).all()
    assert (np.linalg.norm(np.diff(path.centres, axis=0), axis=1) <= speed + 1e-6).all()
    np.testing.assert_allclose(np.diff(path.degrees), 3.0)
    assert (np.abs(path.scales - 1) <= 0.2).all()


@given(seed=seeds, frames=st.integers(2, 60), speed=speeds, diameter=diameters)
def test_who_enters_comes_from_outside_and_leaving_is_the_reverse(
    seed: int, frames: int, speed: float, diameter: float
) -> None:
    come = motion.entering(frames, SIZE, diameter, speed, 0.0, np.random.default_rng(seed))
    go = motion.leaving(frames, SIZE, diameter, speed, 0.0, np.random.default_rng(seed))
    start = come.centres[0]
    assert (start <= -diameter / 2 + 1e-6).any() or (start >= np.array(SIZE) + diameter / 2 - 1e-6).any()
    assert (np.linalg.norm(np.diff(come.centres, axis=0), axis=1) <= speed + 1e-6).all()
    np.testing.assert_array_equal(go.centres, come.centres[::-1])


def test_who_enters_gets_in() -> None:
    for seed in range(50):
        path = motion.entering(40, SIZE, 20, 4.0, 0.0, np.random.default_rng(seed))
        assert ((path.centres[-1] > 0) & (path.centres[-1] < SIZE)).all()


@given(seed=seeds, frames=frames, reach=st.floats(1, 30), speed=st.floats(0.1, 3))
def test_a_pan_is_slow_and_stays_near(seed: int, frames: int, reach: float, speed: float) -> None:
    way = motion.pan(frames, reach, speed, np.random.default_rng(seed))
    assert np.abs(way).max() <= reach
    assert (np.abs(np.diff(way, axis=0)) <= speed + 1e-9).all()


def test_who_is_late_turns_up_in_the_first_half() -> None:
    path = motion.roaming(20, SIZE, np.array([50.0, 70.0]), 20, 2.0, 0.0, np.random.default_rng(0))
    firsts = {motion.late(path, np.random.default_rng(seed)).first for seed in range(50)}
    assert firsts == {4, 5, 6, 7}


@pytest.mark.parametrize(("index", "way", "turn"), [(0, (2.0, 0.0), 5.0), (1, (1.0, 2.0), 10.0), (2, (0.0, 4.0), 15.0)])
def test_a_step_is_the_mean_of_both_sides(index: int, way: tuple[float, float], turn: float) -> None:
    path = motion.Motion(np.array([[0, 0], [2, 0], [2, 4.0]]), np.array([0, 5, 20.0]), np.ones(3), 0)
    np.testing.assert_allclose(path.step(index)[0], way)
    assert path.step(index)[1] == turn


def test_a_single_frame_does_not_move() -> None:
    path = motion.Motion(np.array([[3.0, 4.0]]), np.array([30.0]), np.ones(1), 0)
    np.testing.assert_array_equal(path.step(0)[0], [0, 0])
    assert path.step(0)[1] == 0
