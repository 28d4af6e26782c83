"""`batch` as a user meets it: what it writes, what it leaves alone the next time, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from tests.bundle.tensors_factory import make_tensors
from tests.cli.conftest import Cli, Outcome
from tests.corpus.corpora import command, leftovers, lines, markers, results, start, without_seconds, write_videos
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode
from vpp_deploy.files.temporary import locked_folder

DAMAGED_MARKERS = ("{}", "no JSON", "", "[1]", "null", '{"run": 1, "reason": null}', "[" * 100_000)
NAMES = ("a.mp4", "b.mkv", "sub/c.mp4")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return write_videos(tmp_path / "videos", NAMES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def done(outcome: Outcome, code: int = 0) -> Outcome:
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.out + outcome.err
    return outcome


def test_results_are_those_of_infer_and_the_same_command_goes_on(
    cli: Cli, micro_bundle: Bundle, videos: Path, out: Path, tmp_path: Path
) -> None:
    words = ["batch", micro_bundle.path, videos, "-o", out, "--workers", 2, "--no-parquet"]
    dry = done(cli(*words, "--dry-run"))
    assert not out.exists()
    assert "3 in the corpus: 3 to run (3 new); 0 done before" in dry.out
    assert all(name in dry.out for name in NAMES)

    first = done(cli(*words))
    assert "3 of 3 done, 0 failed; 6 frames" in first.out
    assert set(results(out)) == {f"{name}.jsonl.gz" for name in NAMES}
    assert markers(out) == {name: ["json"] for name in NAMES}
    assert leftovers(out) == []
    for name in NAMES:
        done(cli("infer", micro_bundle.path, videos / name, "--json", tmp_path / "lines.jsonl"))
        assert lines(out, name) == without_seconds(tmp_path / "lines.jsonl")

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    second = done(cli(*words))
    assert "0 to run; 3 done before" in second.out
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}

    write_videos(videos, ["b.mkv"], frames=3)
    (videos / "a.mp4").rename(videos / "d.mp4")
    (out / "results/sub/c.mp4.jsonl.gz").unlink()
    third = done(cli(*words))
    assert "3 to run (1 its source has changed, 1 new, 1 its result is missing); 0 done before" in third.out
    assert "results of what is not in the corpus (1); they stay" in third.err  # of a.mp4
    assert len(lines(out, "b.mkv")) == 3
    assert markers(out) == {name: ["json"] for name in (*NAMES, "d.mp4")}


def test_another_bundle_engine_or_option_does_everything_again_and_says_so(
    cli: Cli, bundle: Path, videos: Path, out: Path
) -> None:
    shutil.rmtree(videos / "sub")
    (videos / "b.mkv").unlink()
    words = ["batch", bundle, videos, "-o", out, "--no-parquet"]
    done(cli(*words))
    again = done(cli(*words, "--max-frames", 1, "--no-kept"))
    assert "1 to run (1 made with another max frames, kept)" in again.out
    (line,) = lines(out, "a.mp4")
    assert "instances" in line
    assert "kept" not in line
    assert markers(out) == {"a.mp4": ["json"]}
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["provenance"]["created"] = "2020-01-01T00:00:00Z"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert "1 made with another bundle, max frames, kept" in done(cli(*words, "--dry-run")).out
    (marker,) = (out / "markers").iterdir()
    marker.write_text('{"run": {"format": 99}}')
    assert "1 made by another version of vpp-deploy" in done(cli(*words, "--dry-run")).out
    for content in DAMAGED_MARKERS:
        marker.write_text(content)
        assert "1 its marker is damaged" in done(cli(*words, "--dry-run")).out


def test_two_runs_at_once_do_not_share_a_place(cli: Cli, micro_bundle: Bundle, videos: Path, out: Path) -> None:
    words = ["batch", micro_bundle.path, videos, "-o", out, "--no-parquet"]
    (out / "markers").mkdir(parents=True)
    with locked_folder(out / "markers", wait=False):
        outcome = cli(*words)
    outcome.assert_one_line_error(
        ExitCode.BAD_INPUT, "another run writes here; wait for it, or give each a place of its own"
    )
    assert results(out) == {}
    done(cli(*words))
    # A run that had planned before this one began, on another machine: nobody knows whose result has stayed.
    marker = next(path for path in (out / "markers").iterdir() if json.loads(path.read_text())["item"] == "a.mp4")
    item, run, rest = marker.name.split("-", 2)
    marker.with_name(f"{item}-{run[::-1]}-{rest}").write_text(marker.read_text())
    assert "1 to run (1 its result may be another run's); 2 done before" in done(cli(*words)).out
    assert markers(out) == {name: ["json"] for name in NAMES}


def test_what_fails_is_marked_and_does_not_stop_the_others(
    cli: Cli, micro_bundle: Bundle, videos: Path, out: Path
) -> None:
    (videos / "a.mp4").write_bytes(b"no video")
    words = ["batch", micro_bundle.path, videos, "-o", out, "--no-parquet"]
    first = done(cli(*words), code=1)
    assert "2 of 3 done, 1 failed" in first.out
    assert [line for line in first.err.splitlines() if line.startswith("warning: a.mp4: ")] == [
        line for line in first.err.splitlines() if "a.mp4" in line
    ]
    assert markers(out) == {"a.mp4": ["failed2.json"], "b.mkv": ["json"], "sub/c.mp4": ["json"]}

    second = done(cli(*words), code=1)
    assert "0 to run; 2 done before; 1 failed before" in second.out
    assert "warning: a.mp4: " in second.err
    assert "--retry-failed" in second.err
    for content in DAMAGED_MARKERS:  # their names count
        for marker in (out / "markers").iterdir():
            marker.write_text(content)
        damaged = done(cli(*words, "--dry-run"), code=1)
        assert "0 to run; 2 done before; 1 failed before" in damaged.out
        assert "warning: a.mp4: it failed; its marker, which said why, is damaged" in damaged.err
    done(cli(*words, "--retry-failed", "--dry-run"))
    assert "1 to run (1 failed before); 2 done before" in done(cli(*words, "--retry-failed"), code=1).out
    write_videos(videos, ["a.mp4"])  # repaired
    assert "1 to run (1 its source has changed)" in done(cli(*words)).out
    assert [path.name.count(".failed") for path in (out / "markers").iterdir()] == [0] * 3


def test_a_table_and_a_submission_of_all(
    cli: Cli, micro_bundle: Bundle, videos: Path, out: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    words = ["batch", micro_bundle.path, videos, "-o", out, "--youtube-vis", tmp_path / "all.json", "--overlays"]
    assert f"{out}/results.parquet" in done(cli(*words)).out
    table = parquet.read_table(out / "results.parquet")
    expected = [
        (name, line["index"], instance["identity"], instance["class"], instance["segmentation"]["counts"])
        for name in NAMES
        for line in lines(out, name)
        for instance in line["instances"]
    ]
    assert expected
    columns = ("video", "frame", "identity", "class", "counts")
    assert list(zip(*(table[column].to_pylist() for column in columns), strict=True)) == expected
    assert sorted(path.name for path in (out / "overlays").rglob("*.mp4")) == ["a.mp4.mp4", "b.mkv.mp4", "c.mp4.mp4"]

    entries = json.loads((tmp_path / "all.json").read_text())
    for number, name in enumerate(NAMES, start=1):
        done(cli("infer", micro_bundle.path, videos / name, "--youtube-vis", tmp_path / "one.json"))
        alone = json.loads((tmp_path / "one.json").read_text())
        ours = [entry for entry in entries if entry["video_id"] == number]
        assert [{**entry, "video_id": 1, "score": 0} for entry in ours] == [{**entry, "score": 0} for entry in alone]
        assert [entry["score"] for entry in ours] == pytest.approx([entry["score"] for entry in alone], abs=1e-6)

    whole, written = (out / "results.parquet").read_bytes(), (out / "results.parquet").stat().st_mtime_ns
    done(cli(*words))
    assert (out / "results.parquet").stat().st_mtime_ns == written
    for damaged in (b"", bytes([whole[0], whole[1] ^ 1, *whole[2:]]), whole[:200] + whole[210:]):
        (out / "results.parquet").write_bytes(damaged)
        done(cli(*words))
        assert (out / "results.parquet").read_bytes() == whole
    (videos / "b.mkv").unlink()
    done(cli(*words))
    assert set(parquet.read_table(out / "results.parquet")["video"].to_pylist()) == {"a.mp4", "sub/c.mp4"}


def test_what_is_done_is_in_the_views_or_is_done_again(
    cli: Cli, micro_bundle: Bundle, out: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    names = [f"{number}.mp4" for number in range(7)]
    videos, submission = write_videos(tmp_path / "videos", names), tmp_path / "all.json"
    words = ["batch", micro_bundle.path, videos, "-o", out, "--overlays", "--youtube-vis", submission]
    done(cli(*words))
    whole, entries = results(out), submission.read_bytes()
    emptied, cut, foreign, removed, flipped, *_ = (out / f"results/{name}.jsonl.gz" for name in names)
    overlays = [out / f"overlays/{name}.mp4" for name in names]

    emptied.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:-1])
    foreign.write_bytes(removed.read_bytes() * 2)
    removed.unlink()
    overlays[5].write_bytes(b"")
    overlays[6].unlink()
    reasons = (
        "3 its result is damaged",
        "1 its result is missing",
        "1 its overlay is damaged",
        "1 its overlay is miss",
    )
    second = done(cli(*words)).out
    assert "6 to run" in second
    assert all(reason in second for reason in reasons)
    assert results(out) == whole
    assert all(path.stat().st_size for path in overlays)
    assert submission.read_bytes() == entries
    assert set(parquet.read_table(out / "results.parquet")["video"].to_pylist()) == set(names)
    assert markers(out) == {name: ["json"] for name in names}

    damaged = bytearray(flipped.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    flipped.write_bytes(damaged)  # no listing tells
    outcome = cli(*words)
    assert outcome.code == ExitCode.BAD_INPUT
    assert f"{flipped} is damaged; delete it and run the same command again" in outcome.err
    assert submission.read_bytes() == entries


def test_a_submission_has_the_numbers_of_a_data_set(cli: Cli, micro_bundle: Bundle, out: Path, tmp_path: Path) -> None:
    frames = tmp_path / "JPEGImages"
    for name in ("x", "y"):
        (frames / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (90, 60), (40, 90, 100 * number)).save(frames / name / f"{number}.jpg")
    videos = [
        {"id": number, "width": 90, "height": 60, "file_names": [f"{name}/0.jpg", f"{name}/1.jpg"]}
        for name, number in (("x", 41), ("y", 7))
    ]
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps({"videos": videos, "categories": [{"id": 1, "name": "x"}], "annotations": []}))
    words = ["batch", micro_bundle.path, frames, "-o", out, "--youtube-vis", tmp_path / "all.json", "--no-parquet"]
    done(cli(*words, "--annotations", annotations))
    assert {entry["video_id"] for entry in json.loads((tmp_path / "all.json").read_text())} == {41, 7}
    assert [line["name"] for line in lines(out, "x")] == ["0.jpg", "1.jpg"]
    (frames / "x").rename(frames / "z")
    cli(*words, "--annotations", annotations).assert_one_line_error(ExitCode.BAD_INPUT, "none of its videos is 'z'")


def test_lines_of_pictures_of_one_name_are_told_apart(cli: Cli, papr_bundle: Bundle, out: Path, tmp_path: Path) -> None:
    for place in ("1.png", "a/1.png", "a/b/1.png"):
        (tmp_path / "photos" / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (90, 60), (50, 90, 30)).save(tmp_path / "photos" / place)
    done(cli("batch", papr_bundle.path, tmp_path / "photos", "-o", out, "--no-parquet"))
    shards = [f"{place}/pictures-000000" for place in ("pictures", "a", "a/b")]
    assert [line["name"] for shard in shards for line in lines(out, shard)] == ["1.png", "a/1.png", "a/b/1.png"]


def test_images_for_a_classifier_in_shards(cli: Cli, papr_bundle: Bundle, out: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        Image.new("RGB", (90, 60), (50 * number, 90, 30)).save(photos / f"{number}.png")
    (photos / "4.png").write_bytes(b"no picture")
    words = ["batch", papr_bundle.path, photos, "-o", out, "--top", 2]
    failed = done(cli(*words, "--shard", 2), code=1)
    assert "warning: pictures/pictures-000004: " in failed.err
    assert [line["name"] for line in lines(out, "pictures/pictures-000002")] == ["2.png", "3.png"]
    table = parquet.read_table(out / "results.parquet")
    assert table["name"].to_pylist() == [f"{number}.png" for number in range(4) for _ in range(2)]
    assert table["rank"].to_pylist() == [0, 1] * 4

    (photos / "4.png").unlink()
    done(cli("infer", papr_bundle.path, photos, "--json", tmp_path / "x.jsonl", "--top", 2))
    alone = {record["name"]: record["labels"] for record in without_seconds(tmp_path / "x.jsonl")}
    ours = [line for shard in ("000000", "000002") for line in lines(out, f"pictures/pictures-{shard}")]
    assert {line["name"]: line["labels"] for line in ours} == alone
    cli(*words, "--overlays").assert_one_line_error(ExitCode.USAGE, "--overlays are videos")


def test_a_terminal_shows_what_each_worker_runs(micro_bundle: Bundle, videos: Path, out: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = ["batch", micro_bundle.path, videos, "-o", out, "--no-parquet", "--workers", 1]
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO at the end
        while piece := terminal.read(1 << 16):
            shown += piece
    assert process.wait() == 0
    assert b"ETA" in shown
    assert all(name.encode() in shown for name in NAMES)


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        (["-o", "{videos}/out"], ExitCode.USAGE, ["which is read"]),
        (["-o", "{bundle}/out"], ExitCode.USAGE, ["which is read"]),
        (["--youtube-vis", "{videos}/x.json"], ExitCode.USAGE, ["which is read"]),
        (["--annotations", "x.json"], ExitCode.USAGE, ["--youtube-vis"]),
        (["--top", "3"], ExitCode.USAGE, ["--top"]),
        (["--scene-cuts", "cuts.txt"], ExitCode.USAGE, ["auto or off"]),
        (["--device", "CPU"], ExitCode.USAGE, ["--device is for openvino"]),
        (["--engine", "openvino"], ExitCode.INCOMPATIBLE, ["build-engine"]),
        (["--youtube-vis", "/proc/nothing/x.json"], ExitCode.BAD_INPUT, ["/proc/nothing"]),
        (["-o", "nothing://x"], ExitCode.USAGE, ["a URL that fsspec knows"]),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_the_work(
    cli: Cli, micro_bundle: Bundle, videos: Path, out: Path, changed: list[str], code: ExitCode, words: list[str]
) -> None:
    given = [word.format(videos=videos, bundle=micro_bundle.path) for word in changed]
    outcome = cli("batch", micro_bundle.path, videos, "-o", out, "--no-parquet", *given)
    outcome.assert_one_line_error(code, *words)
    assert not out.exists()


def test_a_corpus_without_videos(cli: Cli, micro_bundle: Bundle, out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/x.csv").write_text("x")
    words = ["batch", micro_bundle.path, tmp_path / "empty", "-o", out, "--no-parquet"]
    cli(*words).assert_one_line_error(ExitCode.BAD_INPUT, "no videos and no images", "1 .csv")


def test_a_model_of_plain_tensors_has_no_lines(cli: Cli, videos: Path, out: Path, tmp_path: Path) -> None:
    make_tensors(tmp_path / "plain.bundle", "g (float[2] x) => (float[2] y) { y = Relu (x) }")
    outcome = cli("batch", tmp_path / "plain.bundle", videos, "-o", out, "--no-parquet")
    outcome.assert_one_line_error(ExitCode.USAGE, "models for tensors give arrays")


@pytest.mark.parametrize("place", ["file/out", "/proc/nothing"])
def test_a_store_that_cannot_be_written_to(
    place: str, cli: Cli, micro_bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    outcome = cli("batch", micro_bundle.path, videos, "-o", os.path.join(tmp_path, place), "--no-parquet")
    assert outcome.code == ExitCode.BAD_INPUT
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("results/a.mp4.jsonl.gz/x", "results/a.mp4.jsonl.gz: this is no file; move it"),
        ("results/sub", "results/sub: this is no folder; move it"),
        ("results", "results: cannot be listed: Not a directory"),
        ("overlays/sub/c.mp4.mp4/x", "overlays/sub/c.mp4.mp4: this is no file; move it"),
        ("results.parquet/x", "results.parquet: this is no file; move it"),
        ("results.parquet", "results.parquet: `vpp-deploy batch` did not write this, or it is damaged; move it"),
    ],
)
def test_what_stands_in_the_way_is_known_before_the_work(
    place: str, text: str, cli: Cli, micro_bundle: Bundle, videos: Path, out: Path
) -> None:
    pytest.importorskip("pyarrow")
    (out / place).parent.mkdir(parents=True)
    (out / place).write_text("somebody else's")
    outcome = cli("batch", micro_bundle.path, videos, "-o", out, "--overlays")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, f"{out}/{text}")
    assert (out / place).read_text() == "somebody else's"
    assert not list(out.glob("markers/*.json"))


def test_what_cannot_be_written_has_a_name_that_the_user_knows(micro_bundle: Bundle, videos: Path, out: Path) -> None:
    resource = pytest.importorskip("resource")
    words = ["batch", micro_bundle.path, videos, "-o", out, "--no-parquet", "--workers", 1]
    limit = (3000, 3000)  # bytes of a file, less than the lines: as a full disk
    process = start(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    _, err = process.communicate()
    assert process.returncode == 1, err
    for name in NAMES:
        assert f"warning: {name}: {out}/results/{name}.jsonl.gz: writing failed: File too large" in err
    assert ".vpp-" not in err


def test_somebody_elses_table_stays(cli: Cli, micro_bundle: Bundle, videos: Path, out: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    out.mkdir()
    parquet.write_table(pyarrow.table({"x": [1]}), out / "results.parquet")
    outcome = cli("batch", micro_bundle.path, videos, "-o", out)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "`vpp-deploy batch` did not write this")
    assert parquet.read_table(out / "results.parquet").to_pydict() == {"x": [1]}


def test_without_pyarrow_the_table_is_refused_before_the_work(
    cli: Cli, micro_bundle: Bundle, videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = cli("batch", micro_bundle.path, videos, "-o", out)
    outcome.assert_one_line_error(ExitCode.MISSING, "pip install vpp-deploy[batch]", "--no-parquet")
    assert not out.exists()
