"""The arithmetic of docs/scaling.md, against a simulated fleet."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fleet import Fleet, formulas, moved_by_modulo, owners, simulate, weights

FLEET = Fleet(streams=2000, nodes=20, days=600, snapshot_every=20)


def test_formulas_say_what_a_simulated_fleet_does() -> None:
    simulated, reckoned = simulate(FLEET), formulas(FLEET)
    assert simulated["failures"] > 200
    within = {
        "failures": 0.2,
        "streams moved by a failure": 0.05,
        "frames rewound, of a stream that is moved": 0.05,
        "share of frames that come too late, in millionths": 0.2,
        "streams of the fullest node, nobody down": 0.1,
        "streams of the fullest node, ever": 0.1,
        "streams that went back, for each that was moved": 0.01,
    }
    for what, share in within.items():
        assert simulated[what] == pytest.approx(reckoned[what], rel=share), what
    assert abs(simulated["nodes down at once, at most"] - reckoned["nodes down at once, at most"]) <= 1


def test_a_lost_node_moves_its_own_streams_and_nobody_elses() -> None:
    weight = weights(2000, 20)
    before = owners(weight, np.ones(20, np.bool_))
    alive = np.ones(20, np.bool_)
    alive[7] = False
    after = owners(weight, alive)
    assert np.array_equal(before != after, before == 7)
    assert len(np.unique(after[before == 7])) > 15  # all others share them
    assert moved_by_modulo(2000, 20) > 0.9
