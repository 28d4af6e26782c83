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
    assert ["class", "images", "a.bundle", "onnxruntime", "b.bundle", "onnxruntime"] in lines
    assert "matched" not in outcome.out
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
    assert outcome.err == "warning: skipped image bright/gone.png: does not exist\n"
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


def test_folders_of_other_names_are_matched_in_their_order_and_it_says_so(
    cli: Cli, bundles: list[Path], data: Path
) -> None:
    (data / "dark").rename(data / "first")
    (data / "second").mkdir()
    (data / "bright").rename(data / "third")
    outcome = cli("evaluate", bundles[0], "--data", data, "--images", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert "classes are matched by the order of the folders" in outcome.out
    (data / "fourth").mkdir()
    for words in ([], ["--images", 1]):
        outcome = cli("evaluate", bundles[0], "--data", data, *words)
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, "no class named 'first', 'fourth', 'second' and 1 more")


def test_the_report_replaces_no_picture(cli: Cli, bundles: list[Path], data: Path, tmp_path: Path) -> None:
    """Wherever a data set finds it: by a table's paths, by a link in a folder."""
    pictures = [tmp_path / "pool" / f"{name}.png" for name in ("relative", "whole", "linked", "hard", "unused")]
    for number, picture in enumerate(pictures):
        picture.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), (10 + number,) * 3).save(picture)
    (tmp_path / "link.png").symlink_to(pictures[2])
    (tmp_path / "hard.png").hardlink_to(pictures[3])
    rows = ["pool/relative.png", pictures[1], "link.png", "hard.png", "pool/unused.png"]
    (tmp_path / "t.csv").write_text("".join(f"{path},dark\n" for path in rows))
    (data / "dark" / "link.png").symlink_to(pictures[0])
    before = {path: path.read_bytes() for path in pictures}
    for words in (["--data", tmp_path / "t.csv", "--images", 1], ["--data", data, "--annotations", tmp_path / "t.csv"]):
        if "--annotations" in words:
            (tmp_path / "t.csv").write_text("".join(f"{path},dark\n" for path in [*pictures, tmp_path / "link.png"]))
        for picture in pictures:
            outcome = cli("evaluate", bundles[0], *words, "--json", picture)
            outcome.assert_one_line_error(ExitCode.USAGE, "would overwrite", "which is read")
    cli("evaluate", bundles[0], "--data", data, "--json", pictures[0]).assert_one_line_error(ExitCode.USAGE, "is read")
    assert {path: path.read_bytes() for path in pictures} == before
    assert cli("evaluate", bundles[0], "--data", data, "--json", tmp_path / "pool" / "new.json").code == 0


def test_scores_of_something_else_are_refused_or_named(
    cli: Cli, bundles: list[Path], micro_bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    target, page = tmp_path / "scores.json", tmp_path / "page.html"
    assert cli("evaluate", bundles[0], "--data", data, "--json", target).code == 0
    words = ["-o", page, "--evaluate", target]
    outcome = cli("report", micro_bundle.path, *words)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "scores.json has scores of classification", "for segmentation")
    outcome = cli("report", bundles[1], *words)
    assert outcome.code == 0
    assert outcome.err == f"warning: {target}: what `evaluate` measured is of a.bundle, not of b.bundle\n"
    assert cli("report", bundles[0], *words).err == ""
    measuring = ["benchmark", bundles[1], "--plot", tmp_path / "plot.svg", "--scores", target]
    outcome = cli(*measuring)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "the files of --scores are about a.bundle onnxruntime")
    assert outcome.out == ""  # nothing was measured
    content = json.loads(target.read_text())
    page.unlink()
    for change, reason in (
        ({"schema": 9}, "schema"),
        ({"schema": None}, "schema"),
        ({"runs": [{**content["runs"][0], "top1": None}]}, "a run without top1"),
        ({"runs": [{"engine": "torch", "bundle": "a.bundle"}]}, "a run without top1"),
        ({"task": "tensors"}, "task"),
    ):
        target.write_text(json.dumps(content | change))
        outcome = cli("report", bundles[0], *words)
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, "is not what `evaluate --json` writes", reason)
    assert not page.exists()
