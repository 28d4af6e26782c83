"""A fleet on paper: streams on nodes that fail, simulated, beside what the formulas of docs/scaling.md say.

    python -m benchmarks.fleet --streams 10000 --nodes 100 --days 30

A stream belongs to the living node of the highest weight, a hash of both names (rendezvous hashing; Thaler and
Ravishankar 1998). When a node fails its streams go to their next node, where they go on from their last snapshot; when
it is back they return, each with a snapshot of its own, so that nothing is lost. Nodes fail and are repaired
independently, at exponential times.
"""

from __future__ import annotations

import argparse
import heapq
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Fleet:
    """What is simulated.

    Attributes:
        streams: how many.
        nodes: how many.
        rate: frames a second of each stream.
        days: of the fleet's life.
        days_between_failures: of one node, mean.
        repair_minutes: mean.
        detection_seconds: from a node's end until its streams run elsewhere.
        snapshot_every: frames from one snapshot of a stream to the next.
        state_bytes: of a snapshot.
        seed: of the failures.
    """

    streams: int = 10_000
    nodes: int = 100
    rate: float = 5.0
    days: float = 30.0
    days_between_failures: float = 30.0
    repair_minutes: float = 30.0
    detection_seconds: float = 10.0
    snapshot_every: int = 50
    state_bytes: float = 168e3
    seed: int = 0


Figures = dict[str, float]
"""By what they are of; the simulation and the formulas have the same."""


def weights(streams: int, nodes: int) -> Weights:
    """The weight of each node for each stream, `[streams, nodes]`: the finaliser of SplitMix64 over both numbers."""
    with np.errstate(over="ignore"):
        mixed = np.arange(streams, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
        mixed = mixed + np.arange(1, nodes + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(31))


def owners(weight: Weights, alive: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The node of each stream."""
    found: npt.NDArray[np.intp] = np.where(alive, weight, np.uint64(0)).argmax(axis=1)
    return found


def failures_of(fleet: Fleet) -> list[tuple[float, int, bool]]:
    """When which node fails (False) or is back (True), in seconds, in order."""
    numbers = np.random.default_rng(fleet.seed)
    end, mean = fleet.days * 86_400, fleet.days_between_failures * 86_400
    coming = [(numbers.exponential(mean), node, False) for node in range(fleet.nodes)]
    heapq.heapify(coming)
    found = []
    while coming and coming[0][0] < end:
        time, node, back = heapq.heappop(coming)
        found.append((time, node, back))
        wait = mean if back else fleet.repair_minutes * 60
        heapq.heappush(coming, (time + numbers.exponential(wait), node, not back))
    return found


def simulate(fleet: Fleet) -> Figures:
    """The fleet's life, event by event.

    Raises:
        AssertionError: a stream moved that had no reason to.
    """
    weight, alive = weights(fleet.streams, fleet.nodes), np.ones(fleet.nodes, np.bool_)
    phase = np.random.default_rng(fleet.seed + 1).integers(0, fleet.snapshot_every, fleet.streams)
    at = owners(weight, alive)
    loads = np.bincount(at, minlength=fleet.nodes)
    most, most_down, failures, moved, returned, rewound, gap = int(loads.max()), 0, 0, 0, 0, 0.0, 0.0
    first_most = most
    for time, node, back in failures_of(fleet):
        alive[node] = back
        now = owners(weight, alive)
        gone = np.flatnonzero(now != at)
        if back:
            assert np.all(now[gone] == node)
            returned += len(gone)
        else:
            assert np.all(at[gone] == node)
            assert not np.any(now == node)
            failures += 1
            moved += len(gone)
            frames = np.floor(time * fleet.rate).astype(np.int64) + phase[gone]
            rewound += float((frames % fleet.snapshot_every).sum())
            gap += len(gone) * fleet.detection_seconds * fleet.rate
        at = now
        most = max(most, int(np.bincount(at, minlength=fleet.nodes).max()))
        most_down = max(most_down, fleet.nodes - int(alive.sum()))
    total = fleet.streams * fleet.rate * fleet.days * 86_400
    return {
        "failures": failures,
        "streams moved by a failure": moved / max(1, failures),
        "frames rewound, of a stream that is moved": rewound / max(1, moved),
        "share of frames that come too late, in millionths": 1e6 * gap / total,
        "streams of the fullest node, nobody down": first_most,
        "streams of the fullest node, ever": most,
        "nodes down at once, at most": most_down,
        "streams that went back, for each that was moved": returned / max(1, moved),
    }


def formulas(fleet: Fleet) -> Figures:
    """The same, reckoned."""
    mean = fleet.streams / fleet.nodes
    life, repair = fleet.days_between_failures * 86_400, fleet.repair_minutes * 60
    failures = fleet.nodes * fleet.days * 86_400 / (life + repair)
    most_down = _most_down(fleet.nodes * repair / (life + repair), failures)
    return {
        "failures": failures,
        "streams moved by a failure": mean,
        "frames rewound, of a stream that is moved": (fleet.snapshot_every - 1) / 2,
        "share of frames that come too late, in millionths": 1e6 * fleet.detection_seconds / (life + repair),
        "streams of the fullest node, nobody down": _fullest(fleet.streams, fleet.nodes),
        "streams of the fullest node, ever": _fullest(fleet.streams, fleet.nodes - most_down),
        "nodes down at once, at most": most_down,
        "streams that went back, for each that was moved": 1.0,
    }


def _most_down(mean: float, failures: float) -> int:
    """The most nodes that are down at once: as many are as a Poisson number of this mean, looked at by each failure."""
    most, share = 0, math.exp(-mean)
    while failures * share >= 0.5:
        most += 1
        share *= mean / most
    return most


def _fullest(streams: int, nodes: int) -> float:
    """The greatest of so many loads that are nearly normal: mean and √(2 mean ln n)."""
    mean = streams / nodes
    return mean + math.sqrt(2 * mean * math.log(nodes))


def moved_by_modulo(streams: int, nodes: int) -> float:
    """The share of streams that a fleet of one node less moves where `hash % nodes` says whose a stream is."""
    names = weights(streams, 1)[:, 0]
    return float(np.mean(names % np.uint64(nodes) != names % np.uint64(nodes - 1)))


def main() -> None:
    """Simulate, reckon, print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in vars(Fleet()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    fleet = Fleet(**vars(parser.parse_args()))
    simulated, reckoned = simulate(fleet), formulas(fleet)
    print(f"{fleet.streams} streams on {fleet.nodes} nodes, {fleet.days:g} days{'':26} simulated  reckoned")
    for what, value in simulated.items():
        print(f"{what:62}{value:10.2f}{reckoned[what]:10.2f}")
    print(f"streams that a lost node moves with hash % nodes: {moved_by_modulo(fleet.streams, fleet.nodes):.1%}")
    snapshots = fleet.streams * fleet.rate / fleet.snapshot_every * fleet.state_bytes
    print(f"snapshots written: {snapshots / 1e6:.0f} MB a second in all, {snapshots / 1e6 / fleet.nodes:.2f} a node")


if __name__ == "__main__":
    main()
