from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_failures import without
from tests.tasks.segmentation.evaluation.datasets import edit, write_dataset
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode
from vpp_deploy.tasks.segmentation.session import VideoSession

BOX = [(5, 5, 25, 30)] * 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", {1: [(1, BOX)], 2: [(2, BOX)]})


@pytest.fixture
def submission(data: Path, tmp_path: Path) -> Path:
    """The annotations themselves, as predictions."""
    entries = json.loads((data / "instances.json").read_bytes())["annotations"]
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps([{k: e[k] for k in ("video_id", "category_id", "segmentations")} | {"score": 1} for e in entries])
    )
    return path


def test_two_engines_in_one_table_and_one_report(cli: Cli, micro_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    before = {*tmp_path.iterdir(), *micro_bundle.path.parent.iterdir()}
    engines = ["--engine", "torch", "--engine", "onnxruntime"]
    outcome = cli("evaluate", micro_bundle.path, "--data", data, *engines, "--json", target)
    assert outcome.code == 0
    assert outcome.err == "warning: the bundle's weights are random and untrained: the scores mean nothing\n"
    title, header, *lines = outcome.out.splitlines()
    rows, _, (heading, _, difference, _, _, classes), by_class = lines[:2], lines[2], lines[3:9], lines[9:]
    assert title == str(data)
    assert header.split() == [
        *("engine", "keep", "AP_track", "mAP_bbox", "mAP_segm", "kept", "objects", "kept", "videos", "frames")
    ]
    report = json.loads(target.read_text())
    assert [row.split()[:2] for row in rows] == [["torch", "0.55"], ["onnxruntime", "0.55"]]
    for row, run in zip(rows, report["runs"], strict=True):
        scores = [f"{run[name]:.2f}" for name in ("ap_track", "map_bbox", "map_segm")]
        shares = [f"{100 * run['kept_by_blocks']:.3g}%", f"{100 * list(run['objects_kept'].values())[-1]:.3g}%"]
        assert row.split()[2:] == [*scores, *shares, "2", "6"]
    assert heading == "difference to torch, in points"
    assert difference.split() == [
        "onnxruntime",
        *(f"{value:+.2f}" for value in report["runs"][1]["differences"].values()),
    ]
    assert classes.split() == ["class", "torch", "onnxruntime"]
    for row in by_class:
        name, *values = row.split()
        assert values == [f"{run['ap_track_by_class'][name]:.2f}" for run in report["runs"]]
    assert {row.split()[0] for row in by_class} == {"circle", "square"}
    assert {*tmp_path.iterdir(), *micro_bundle.path.parent.iterdir()} - before == {target}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")
def test_a_report_into_a_pipe(cli: Cli, micro_bundle: Bundle, data: Path) -> None:
    reader, writer = os.pipe()
    before = set(micro_bundle.path.parent.iterdir())
    with open(reader, encoding="utf-8") as pipe:
        with open(writer, "w"):
            assert cli("evaluate", micro_bundle.path, "--data", data, "--json", f"/dev/fd/{writer}").code == 0
        assert json.load(pipe)["runs"][0]["engine"] == "onnxruntime"
    assert set(micro_bundle.path.parent.iterdir()) == before


def test_a_submission_needs_no_bundle(cli: Cli, data: Path, submission: Path, tmp_path: Path) -> None:
    packed = tmp_path / "results.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(submission, "results.json")
    for path in (submission, packed):
        outcome = cli("evaluate", "--predictions", path, "--data", data)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.splitlines()[2].split() == [path.name, "–", *["100.00"] * 3, "–", "–", "2", "6"]


def test_the_annotations_can_be_named_and_the_videos_limited(
    cli: Cli, data: Path, submission: Path, tmp_path: Path
) -> None:
    shutil.move(data / "instances.json", tmp_path / "elsewhere.json")
    words = ["--data", data, "--annotations", tmp_path / "elsewhere.json", "--videos", 1]
    outcome = cli("evaluate", "--predictions", submission, *words)
    assert outcome.code == 0
    assert outcome.out.splitlines()[2].split()[-2:] == ["1", "3"]


def test_a_run_that_was_cut_off_goes_on_with_the_same_call(
    cli: Cli, bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, frames = VideoSession.__call__, []

    def failing_at(limit: int) -> Callable[..., Any]:
        def call(session: VideoSession, frame: Any) -> Any:
            if len(frames) == limit:
                raise KeyboardInterrupt
            frames.append(frame.name)
            return run(session, frame)

        return call

    monkeypatch.setattr(VideoSession, "__call__", failing_at(4))
    cut = cli("evaluate", bundle, "--data", data)
    kept = bundle.parent / "own.bundle.work"
    said = f"the predictions until then are in {kept}, and the same command goes on from there"
    assert (cut.code, cut.err) == (130, f"interrupted: stopped by Ctrl-C; {said}\n")
    assert [path.name for path in kept.rglob("*.json")] == ["1.json"]
    (kept / "notes.txt").touch()
    monkeypatch.setattr(VideoSession, "__call__", failing_at(4 + 3))
    assert cli("evaluate", bundle, "--data", data).code == 0
    assert len(frames) == 4 + 3
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


def test_a_work_folder_of_ones_own_is_kept(
    cli: Cli, micro_bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["evaluate", micro_bundle.path, "--data", data, "--work", tmp_path / "a" / "work"]
    first = cli(*words)
    assert first.code == 0
    monkeypatch.setattr(VideoSession, "__call__", lambda *arguments: pytest.fail("a frame was run"))
    assert cli(*words) == first


Change = Callable[[Path], None]


def annotated(change: Callable[[Any], None]) -> Change:
    return lambda data: edit(data / "instances.json", change)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 300)


SECOND = "JPEGImages/video_2/00001.jpg"
VIDEO_FAULTS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "missing frame": (lambda data: (data / SECOND).unlink(), (SECOND, "does not exist")),
    "truncated frame": (lambda data: truncate(data / SECOND), (SECOND, "not a readable image")),
    "frame that is no image": (lambda data: (data / SECOND).write_text("frame"), (SECOND, "not a readable image")),
    "frame of another size": (
        annotated(lambda c: [c["videos"][1].update(width=91), c["annotations"].pop()]),
        ("video_2/00000.jpg", "60x90", "says 60x91"),
    ),
    "lengths": (annotated(lambda c: c["videos"][1].update(length=2)), ("instances.json", "length 2")),
    "mask lengths": (
        annotated(lambda c: c["annotations"][1]["segmentations"].pop()),
        ("instances.json", "annotation 2 of video 2 has 2 segmentations"),
    ),
    "unknown category": (
        annotated(lambda c: c["annotations"][1].update(category_id=8)),
        ("instances.json", "category 8"),
    ),
}
FILE_FAULTS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "not json": (lambda data: truncate(data / "instances.json"), ("instances.json", "not JSON")),
    "unknown video": (annotated(lambda c: c["annotations"][1].update(video_id=8)), ("instances.json", "video 8")),
    "no categories": (annotated(lambda c: c.update(categories=[])), ("instances.json", "categories")),
    "unnamed category": (annotated(lambda c: c["categories"][0].pop("name")), ("instances.json", "name")),
    "foreign category": (
        annotated(lambda c: c["categories"][0].update(name="dog")),
        ("instances.json", "'dog'", "circle, square"),
    ),
    "ids": (annotated(lambda c: c["videos"][1].update(id=1)), ("instances.json", "video id 1 occurs twice")),
    "two files": (lambda data: (data / "valid.json").touch(), ("instances.json, valid.json", "--annotations")),
    "no file": (lambda data: (data / "instances.json").unlink(), ("data", "no annotation file")),
    "no folder": (shutil.rmtree, ("data", "does not exist")),
}


@pytest.mark.parametrize("name", VIDEO_FAULTS | FILE_FAULTS)
def test_a_fault_of_the_data_set_is_one_line_that_names_the_file(
    name: str, cli: Cli, micro_bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    change, words = (VIDEO_FAULTS | FILE_FAULTS)[name]
    change(data)
    target = tmp_path / "scores.json"
    outcome = cli("evaluate", micro_bundle.path, "--data", data, "--json", target)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(data), *words)
    assert outcome.out == ""
    assert not target.exists()


@pytest.mark.parametrize("name", VIDEO_FAULTS)
def test_keep_going_skips_the_video_and_lists_it(
    name: str, cli: Cli, micro_bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    change, words = VIDEO_FAULTS[name]
    change(data)
    target = tmp_path / "scores.json"
    outcome = cli("evaluate", micro_bundle.path, "--data", data, "--json", target, "--keep-going")
    assert outcome.code == 0
    first, _ = outcome.err.splitlines()
    assert first.startswith("warning: skipped video video_2: ")
    report = json.loads(target.read_text())
    (skipped,) = report["skipped"]
    assert skipped["video"] == "video_2"
    assert all(word in first and word in skipped["reason"] for word in words)
    assert (report["runs"][0]["videos"], report["runs"][0]["frames"]) == (1, 3)


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_keep_going_does_not_go_on_without_annotations(name: str, cli: Cli, micro_bundle: Bundle, data: Path) -> None:
    change, words = FILE_FAULTS[name]
    change(data)
    outcome = cli("evaluate", micro_bundle.path, "--data", data, "--keep-going")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, *words)


def test_a_malformed_submission_is_one_line_that_names_the_entry(cli: Cli, data: Path, submission: Path) -> None:
    edit(submission, lambda entries: entries[1].update(video_id=3))
    outcome = cli("evaluate", "--predictions", submission, "--data", data)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(submission), "entry 1", "video 3")


def test_calls_that_make_no_sense(cli: Cli, micro_bundle: Bundle, data: Path, submission: Path) -> None:
    bundle, on = micro_bundle.path, ("--data", data)
    wrong: list[tuple[list[Any], str]] = [
        ([*on], "a bundle or --predictions"),
        ([bundle, *on, "--predictions", submission], "one of them"),
        (["--predictions", submission, *on, "--engine", "torch"], "leave out --engine"),
        ([bundle, *on, "--engine", "abacus"], "unknown engine 'abacus'"),
        ([bundle, *on, "--engine", "torch", "--engine", "torch"], "each can be evaluated once"),
        ([bundle, *on, "--mode", "threshold"], "for torch, not for onnxruntime"),
        ([bundle, *on, "--mode", "random"], "random"),
        ([bundle, *on, "--videos", 0], "videos"),
        ([bundle], "--data"),
    ]
    for words, reason in wrong:
        cli("evaluate", *words).assert_one_line_error(ExitCode.USAGE, reason)


def test_an_engine_that_is_not_built_names_the_command_that_builds_it(
    cli: Cli, bundle: Path, data: Path, leftovers: Callable[[], list[str]]
) -> None:
    shutil.rmtree(bundle / "engines")
    outcome = cli("evaluate", bundle, "--data", data)
    outcome.assert_one_line_error(ExitCode.INCOMPATIBLE, f"vpp-deploy build-engine {bundle} --engine onnxruntime")
    assert leftovers() == []
    assert not (bundle.parent / "own.bundle.work").exists()


def test_a_report_that_cannot_be_written_fails_before_the_first_frame(
    cli: Cli, micro_bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoSession, "__call__", lambda *arguments: pytest.fail("a frame was run"))
    words = ["evaluate", micro_bundle.path, "--data", data, "--json"]
    cli(*words, tmp_path / "none" / "x.json").assert_one_line_error(ExitCode.BAD_INPUT, "is not a folder")


def test_without_trackeval_the_extra_is_named(data: Path, submission: Path) -> None:
    process = without("trackeval", "evaluate", "--predictions", str(submission), "--data", str(data))
    assert process.returncode == ExitCode.MISSING
    assert process.stderr.count("\n") == 1
    assert process.stderr.endswith("pip install 'vpp-deploy[evaluate]'\n")


def test_without_pytorch_an_engine_can_be_evaluated_but_not_the_reference(micro_bundle: Bundle, data: Path) -> None:
    words = ["evaluate", str(micro_bundle.path), "--data", str(data), "--videos", "1"]
    assert without("torch", *words).returncode == 0
    process = without("torch", *words, "--engine", "torch")
    assert process.returncode == ExitCode.MISSING
    assert process.stderr.count("\n") == 1
    assert "vpp-deploy[export]" in process.stderr
