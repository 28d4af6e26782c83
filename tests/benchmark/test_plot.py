"""Latency against accuracy, as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.benchmark.reports import report_of
from vpp_deploy.benchmark.plot import PlotFile, Point, pareto_front, points_of
from vpp_deploy.errors import UsageError

POINTS = st.lists(st.builds(Point, st.just("p"), st.just("e"), st.floats(0.1, 1e4), st.floats(0, 100)), max_size=20)


@given(POINTS)
def test_the_front_beats_everything_else_and_nothing_on_it_is_beaten(points: list[Point]) -> None:
    front = pareto_front(points)
    beaten = [
        any(
            other.milliseconds <= point.milliseconds
            and other.accuracy >= point.accuracy
            and (other.milliseconds, other.accuracy) != (point.milliseconds, point.accuracy)
            for other in points
        )
        for point in points
    ]
    assert set(front) == {point for point, worse in zip(points, beaten, strict=True) if not worse}


def scores(path: Path, bundle: str = "a.bundle", **values: Any) -> Path:
    run = {"engine": "onnxruntime", "ap_track": 79.0, "map_segm": 82.0, "map_bbox": 75.0} | values
    path.write_text(json.dumps({"schema": 1, "bundle": bundle, "runs": [run]}))
    return path


@pytest.mark.parametrize("form", ["svg", "png"])
def test_what_was_measured_and_scored_is_drawn(tmp_path: Path, form: str) -> None:
    files = [scores(tmp_path / "a.json"), scores(tmp_path / "b.json", bundle="<b> $x$", ap_track=70.0)]
    out = tmp_path / f"plot.{form}"
    PlotFile(out, files).draw(report_of([("a.bundle", 0.5), ("<b> $x$", 0.2), ("unscored", 0.1)]))
    if form == "svg":
        ET.parse(out)
    else:
        assert Image.open(out).size[0] > 500


def test_the_first_score_that_all_have_counts(tmp_path: Path) -> None:
    report = report_of([("a", 0.5), ("b", 0.2)])
    full = {"engine": "onnxruntime", "ap_track": 1.0, "map_segm": 2.0}
    label, points = points_of(report, [full | {"bundle": "a"}, full | {"bundle": "b", "ap_track": None}])
    assert label == "mAP_segm"
    assert [(point.milliseconds, point.accuracy) for point in points] == [(500.0, 2.0), (200.0, 2.0)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is not the evaluation of a bundle"),
        ("[1]", "is not the evaluation of a bundle"),
        ("{", "is not JSON"),
        ('{"bundle": "a", "runs": [3]}', "a run without the name of its engine"),
        ('{"bundle": "a", "runs": [{"engine": "e"}]}', "schema None, and 1 can be read"),
        ('{"schema": 9, "bundle": "a", "runs": [{"engine": "e", "top1": 3}]}', "schema 9, and 1 can be read"),
        ('{"schema": 1, "bundle": "a", "runs": [{"engine": "e"}]}', "the run of e has none of ap_track,"),
        ('{"schema": 1, "bundle": "a", "runs": [{"engine": "e", "top1": "x"}]}', "top1 of e is 'x', and no percentage"),
        ('{"schema": 1, "bundle": "a", "runs": [{"engine": "e", "top1": true}]}', "top1 of e is True"),
        ('{"schema": 1, "bundle": "a", "runs": [{"engine": "e", "top1": 101}]}', "top1 of e is 101"),
        ('{"bundle": null, "runs": []}', "is not the evaluation of a bundle"),
    ],
)
def test_a_file_that_evaluate_did_not_write(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UsageError, match=words):
        PlotFile(tmp_path / "plot.svg", [tmp_path / "s.json"])
    assert not (tmp_path / "plot.svg").exists()


def test_scores_of_something_else(tmp_path: Path) -> None:
    plot = PlotFile(tmp_path / "plot.svg", [scores(tmp_path / "s.json", bundle="other")])
    with pytest.raises(UsageError, match=r"no candidate .* the files of --scores are about other onnxruntime"):
        plot.draw(report_of([("a.bundle", 0.5)]))
    with pytest.raises(UsageError, match=r"no candidate .* are about other onnxruntime"):
        plot.check([("a.bundle", "onnxruntime"), ("other", "torch")])
    plot.check([("a.bundle", "onnxruntime"), ("other", "onnxruntime")])
    plot.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
    for name, files, words in (("plot.gif", [tmp_path / "s.json"], "ends in"), ("plot.svg", [], "give --scores")):
        with pytest.raises(UsageError, match=words):
            PlotFile(tmp_path / name, files)


def test_scores_that_cannot_be_compared(tmp_path: Path) -> None:
    files = [scores(tmp_path / "a.json", "a"), tmp_path / "b.json"]
    run = {"engine": "onnxruntime", "top1": 90.0}
    files[1].write_text(json.dumps({"schema": 1, "bundle": "b", "runs": [run]}))
    plot = PlotFile(tmp_path / "plot.svg", files)
    plot.check([("a", "onnxruntime")])
    plot.check([("b", "onnxruntime")])
    with pytest.raises(UsageError, match="no metric was measured of all of a onnxruntime, b onnxruntime"):
        plot.check([("a", "onnxruntime"), ("b", "onnxruntime")])
    plot.discard()
