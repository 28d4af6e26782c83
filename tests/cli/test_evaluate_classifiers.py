"""`evaluate` on bundles of classifiers: tables, the report, and what other commands make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bundle.classifier_factory import make_engine
from tests.cli.conftest import Cli
from vpp_deploy.benchmark.plot import PlotFile
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

LEVELS = {"dark": 10, "bright": 250}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, level in LEVELS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.full((40, 60, 3), level, np.uint8)).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    make_engine(tmp_path / "a.bundle")
    make_engine(tmp_path / "b.bundle", class_names=("bright", "grey", "dark"))
    return [tmp_path / "a.bundle", tmp_path / "b.bundle"]


def test_bundles_in_one_table_and_one_report(cli: Cli, bundles: list[Path], data: Path, tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    outcome = cli("evaluate", *bundles, "--data", data, "--json", target)
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[2] == ["a.bundle", "onnxruntime", "0.5", "100.00", *"–––", "0.00", "4"]
    assert lines[3] == ["b.bundle", "onnxruntime", "0.5", "0.00", "–", "-100.00", "100.00%", "0.00", "4"]
    assert ["dark", "2", "100.00", "0.00"] in lines
    plain = json.loads(target.read_text())
    assert [run["top1"] for run in plain["runs"]] == [100, 0]
    PlotFile(tmp_path / "plot.svg", [target]).discard()  # which reads the scores
    page = tmp_path / "report.html"
    assert cli("report", bundles[0], "--evaluate", target, "-o", page).code == 0
    text = page.read_text()
    assert "top-1" in text
    assert "4 images" in text


def test_a_table_and_a_picture_with_a_fault(cli: Cli, bundles: list[Path], data: Path, tmp_path: Path) -> None:
    (data / "labels.csv").write_text("dark/0.png,dark\nbright/0.png,bright\nbright/gone.png,bright\n")
    words = ["evaluate", bundles[0], "--data", data / "labels.csv"]
    cli(*words).assert_one_line_error(ExitCode.BAD_INPUT, "gone.png", "does not exist")
    outcome = cli(*words, "--keep-going")
    assert outcome.code == 0
    assert outcome.err == f"warning: skipped image {data / 'bright/gone.png'}: does not exist\n"
    assert cli(*words, "--keep-going", "--images", 1).out.splitlines()[2].split()[-1] == "1"


def test_options_of_the_other_task_are_refused(
    cli: Cli, bundles: list[Path], micro_bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    for words, reason in (
        ([bundles[0], "--videos", 3], "not for classification models; use --images"),
        ([bundles[0], "--work", tmp_path / "w"], "not for classification models"),
        ([micro_bundle.path, "--images", 3], "use --videos"),
        ([bundles[0], bundles[0]], "each one once"),
    ):
        cli("evaluate", *words, "--data", data).assert_one_line_error(ExitCode.USAGE, reason)
