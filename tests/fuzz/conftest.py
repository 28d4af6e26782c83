"""Budgets, counts and runners of the fuzz suite.

`FUZZ_SECONDS` is the time that each group gets (`make fuzz` gives more), `FUZZ_SEED` where chance starts.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz.runner import Outcome, Runner, Tally

SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "20261126"))
TALLIES: list[Tally] = []

Case = Callable[[random.Random, int], Outcome]
"""Makes the case of a number and runs it."""
Fuzz = Callable[[str, Case], Tally]
"""Runs cases of a named group until its time is over; fails if one was flagged."""


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs everything that needs no PyTorch."""
    modules = [
        "vpp_deploy.cli.main",
        "vpp_deploy.engines.onnxruntime.engine",
        "vpp_deploy.engines.openvino.engine",
        "vpp_deploy.tasks.segmentation.infer",
        "vpp_deploy.tasks.classification.infer",
        "vpp_deploy.tasks.segmentation.evaluation",
        "trackeval",
    ]
    with Runner(tmp_path_factory.mktemp("output"), modules) as running:
        yield running


@pytest.fixture(scope="session")
def torch_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs what reads checkpoints."""
    with Runner(tmp_path_factory.mktemp("output"), ["tests.fuzz.reading_checkpoints"]) as running:
        yield running


@pytest.fixture
def fuzz(tmp_path: Path) -> Fuzz:
    """See `Fuzz`. Each case has its own generator, so that any of them can be run alone."""

    def run(group: str, case: Case) -> Tally:
        tally = Tally(group)
        TALLIES.append(tally)
        until, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            outcome = case(random.Random(f"{SEED} {group} {number}"), number)
            tally.codes[outcome.code] += 1
            for fault in outcome.faults():
                said = outcome.errors.decode(errors="replace").strip()[-300:]
                tally.flagged.append(f"{group} {number} (seed {SEED}): {fault}; it said {said!r}")
            number += 1
        assert not tally.flagged, "\n".join(tally.flagged[:20])
        return tally

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts of every group."""
    for tally in TALLIES:
        terminalreporter.write_line(f"fuzz {tally}")
