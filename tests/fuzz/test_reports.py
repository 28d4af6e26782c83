"""What `parity`, `benchmark` and `evaluate` wrote, damaged, given to `report`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vpp_deploy
from tests.fuzz import mutation
from tests.fuzz.conftest import Fuzz
from tests.fuzz.runner import Outcome, Runner
from tests.media.clips import write_clip
from tests.report import results


@pytest.fixture(scope="module")
def report_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """With what draws imported once."""
    modules = [
        "vpp_deploy.cli.main",
        "vpp_deploy.report.page",
        "vpp_deploy.report.figures",
        "matplotlib.backends.backend_svg",
    ]
    with Runner(tmp_path_factory.mktemp("output"), modules) as running:
        yield running


@pytest.fixture(scope="module")
def check(micro_bundle: vpp_deploy.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engine held against itself: what is in a report is what counts, not how it came about."""
    engine = vpp_deploy.load_engine(micro_bundle, threads=1)
    clip = write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=2)
    return json.loads(json.dumps(vpp_deploy.check_parity(micro_bundle, engine, clip, reference=engine).to_dict()))


def test_reports(
    report_runner: Runner, fuzz: Fuzz, check: Any, micro_bundle: vpp_deploy.Bundle, tmp_path: Path
) -> None:
    contents = {"parity": check, "benchmark": results.benchmark("b"), "evaluate": results.evaluation("b")}

    def case(generator: random.Random, number: int) -> Outcome:
        kind = generator.choice(list(contents))
        given = tmp_path / "given.json"
        given.write_bytes(mutation.as_json(mutation.damaged_json(contents[kind], generator), generator))
        words = ["report", micro_bundle.path, "-o", tmp_path / "page.html", f"--{kind}", given]
        return report_runner.run(words, tmp_path)

    fuzz("reports", case)
