"""Whatever a bundle says, with every hash right: a result or one line, never an internal error."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz import bundles, hostile_bundles
from tests.fuzz.hostile_bundles import KINDS, Case, graph_cases, manifest_cases, originals, record_cases
from vpp_deploy.cli.main import main
from vpp_deploy.errors import ExitCode

SAMPLE = int(os.environ.get("VPP_HOSTILE_SAMPLE", "12"))
"""Cases of each kind and task; 0 for all of them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def sources(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each task runs on: two pictures, or two frames of the inputs."""
    return hostile_bundles.sources(made["tensors"], tmp_path_factory.mktemp("sources"))


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process and holds it to the rules that every command obeys."""

    def one(label: str, *words: object) -> tuple[int, str]:
        capfd.readouterr()
        code = main([str(word) for word in words])
        streams = capfd.readouterr()
        assert code in set(ExitCode) - {ExitCode.INTERNAL}, f"{label}: {words[0]} ended in {code}: {streams.err}"
        lines = [line for line in streams.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == (code != 0), f"{label}: {words[0]}: {streams.err}"
        assert "\x1b" not in streams.out + streams.err, f"{label}: {words[0]} prints escape sequences"
        return code, streams.err

    return one


def chosen(cases: Iterator[Case], seed: int) -> list[Case]:
    every = list(cases)
    return every if not 0 < SAMPLE < len(every) else random.Random(seed).sample(every, SAMPLE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cases", [manifest_cases, record_cases, graph_cases], ids=["manifest", "record", "graph"])
def test_a_bundle_that_lies(
    kind: str,
    cases: Callable[[Path], Iterator[Case]],
    made: dict[str, Path],
    sources: dict[str, Path],
    run: Run,
    tmp_path: Path,
) -> None:
    codes: Counter[tuple[str, int]] = Counter()
    for case in chosen(cases(made[kind]), seed=7):
        bundle = bundles.copy_of(made[kind], tmp_path / "case")
        case.make(bundle)
        for words in (
            ["inspect", bundle, "--json"],
            ["inspect", bundle],
            ["infer", bundle, sources[kind], "--json", tmp_path / "case" / "results"],
            ["build-engine", bundle, "--force"],
            ["build-engine", bundle, "--engine", "onnxruntime-cuda"],
        ):
            code, _ = run(f"{kind}, {case.name}", *words)
            codes[str(words[0]), code] += 1
        shutil.rmtree(tmp_path / "case")
    assert sum(count for (_, code), count in codes.items() if code) > 5, codes  # they do reach the checks


@pytest.mark.parametrize("kind", KINDS)
def test_the_originals_run(
    kind: str, made: dict[str, Path], sources: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    """What is wrong with the others is not wrong with these."""
    assert run(kind, "infer", made[kind], sources[kind], "--json", tmp_path / "results")[0] == 0
    assert len((tmp_path / "results").read_text().splitlines()) >= 2
    assert json.loads((tmp_path / "results").read_text().splitlines()[0])
