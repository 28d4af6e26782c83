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
from vpp_deploy.benchmark.plot import PlotFile, Point, Subject, pareto_front, points_of, scores_of
from vpp_deploy.errors import DatasetError, UsageError
from vpp_deploy.report.measurements import Evaluation, read_measurement

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


def scores(path: Path, bundle: str | None = "a.bundle", data: str = "valid", **values: Any) -> Path:
    run = {"engine": "onnxruntime", "ap_track": 79.0, "map_segm": 82.0, "map_bbox": 75.0, "videos": 3} | values
    path.write_text(json.dumps({"schema": 1, "bundle": bundle, "data": data, "runs": [run]}))
    return path


def evaluation(path: Path) -> Evaluation:
    return read_measurement(path, Evaluation, "evaluate")


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
    files = [scores(tmp_path / "a", "a", map_segm=2.0), scores(tmp_path / "b", "b", map_segm=2.0, ap_track=None)]
    label, points = points_of(report, [evaluation(file) for file in files])
    assert label == "mAP_segm"
    assert [(point.milliseconds, point.accuracy) for point in points] == [(500.0, 2.0), (200.0, 2.0)]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("123"), st.integers(0, 100)), max_size=6))
def test_bundles_are_told_apart_by_their_content_whatever_they_are_called(runs: list[tuple[str, str, int]]) -> None:
    known = {content: float(accuracy) for _, content, accuracy in runs}
    evaluations = [
        Evaluation.model_validate(
            {"schema": 1, "bundle": name, "data": "d", "runs": [run | {"engine": "e", "videos": 1}]}
        )
        for name, content, _ in runs
        for run in [{"bundle_hash": content, "ap_track": known[content]}]
    ]
    subjects = [Subject(name, "e", content) for name in "xyz" for content in "1234"]
    if known:
        label, found = scores_of(subjects, evaluations)
        assert label == "AP_track"
        assert found == {one: known[one.bundle_hash or ""] for one in subjects if one.bundle_hash in known}
    else:
        with pytest.raises(DatasetError, match="no candidate"):
            scores_of(subjects, evaluations)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is not what `evaluate --json` writes"),
        ("[1]", "is not what `evaluate --json` writes"),
        ("{", "is not JSON"),
        ('{"schema": 1, "bundle": "a", "data": "d", "runs": [3]}', r"runs\.0: Input should be a valid dict"),
        ('{"bundle": "a", "data": "d", "runs": [{"engine": "e", "ap_track": 1}]}', "schema: Field required"),
        ('{"schema": 9, "bundle": "a", "data": "d", "runs": [{"engine": "e", "ap_track": 3}]}', "schema: Input should"),
        ('{"schema": 1, "bundle": "a", "data": "d", "runs": [{"engine": "e"}]}', "a run without ap_track"),
        ('{"schema": 1, "bundle": "a", "data": "d", "runs": [{"engine": "e", "ap_track": "9"}]}', "ap_track: Input"),
        ('{"schema": 1, "bundle": "a", "data": "d", "runs": [{"engine": "e", "ap_track": true}]}', "ap_track: Input"),
        ('{"schema": 1, "bundle": "a", "data": "d", "runs": [{"engine": "e", "ap_track": 101}]}', "ap_track: Input"),
        ('{"schema": 1, "bundle": null, "data": "d", "runs": []}', "runs: List should have at least 1 item"),
        ('{"schema": 1, "bundle": null, "data": "d", "runs": [{"engine": "e", "ap_track": 1}]}', "is of no bundle"),
    ],
)
def test_a_file_that_evaluate_did_not_write(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(DatasetError, match=words):
        PlotFile(tmp_path / "plot.svg", [tmp_path / "s.json"])
    assert not (tmp_path / "plot.svg").exists()


def test_scores_of_something_else(tmp_path: Path) -> None:
    files = [scores(tmp_path / "s.json", bundle="other"), scores(tmp_path / "t.json", engine="torch", mode="threshold")]
    plot = PlotFile(tmp_path / "plot.svg", files)
    with pytest.raises(DatasetError, match=r"no candidate .* are about a.bundle torch, other onnxruntime$"):
        plot.draw(report_of([("b.bundle", 0.5)]))
    with pytest.raises(DatasetError, match=r"no candidate .* are about a.bundle torch, other onnxruntime$"):
        plot.check([Subject("b.bundle", "onnxruntime", None), Subject("other", "torch", None)])
    with pytest.raises(DatasetError, match=r"no candidate"):  # what is timed selects as exported
        plot.check([Subject("a.bundle", "torch", None)])
    with pytest.raises(DatasetError, match=r"; A/other is another bundle of that name, or was made anew since"):
        plot.check([Subject("A/other", "onnxruntime", "1"), Subject("B/other", "onnxruntime", "2")])
    plot.check([Subject("a.bundle", "onnxruntime", None), Subject("other", "onnxruntime", None)])
    plot.discard()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.json", "t.json"]
    for name, given_files, words in (("plot.gif", files, "ends in"), ("plot.svg", [], "give --scores")):
        with pytest.raises(UsageError, match=words):
            PlotFile(tmp_path / name, given_files)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"data": "elsewhere/train"}, r"a e was scored on valid \(3 videos\), and b e on other data, elsewhere/train"),
        ({"videos": 4}, r"a e was scored on valid \(3 videos\), and b e on other data, valid \(4 videos\)"),
        ({"bundle": "a", "ap_track": 1.0}, r"a e was scored twice, with AP_track 79.0 and 1.0; give one of the two"),
        ({"ap_track": None, "map_bbox": None, "map_segm": None}, "no metric was measured of all of a e, b e"),
    ],
)
def test_scores_that_cannot_be_compared(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    files = [
        scores(tmp_path / "a", "a", engine="e"),
        scores(tmp_path / "b", **({"bundle": "b", "engine": "e"} | other)),
    ]
    with pytest.raises(DatasetError, match=words):
        scores_of([Subject(name, "e", None) for name in "ab"], [evaluation(file) for file in files])


def test_one_data_set_may_be_given_by_several_paths(tmp_path: Path) -> None:
    contents = [json.loads(scores(tmp_path / "x", name, data=data).read_text()) for name, data in ("a1", "b2")]
    subjects = [Subject(name, "onnxruntime", None) for name in "ab"]
    same = [Evaluation.model_validate(content | {"data_hash": "f"}) for content in contents]
    assert len(scores_of(subjects, same)[1]) == 2
    other = Evaluation.model_validate(contents[1] | {"data": "1", "data_hash": "e"})
    with pytest.raises(DatasetError, match="b onnxruntime on other data"):
        scores_of(subjects, [same[0], other])
