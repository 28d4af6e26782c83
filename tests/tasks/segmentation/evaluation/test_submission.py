from __future__ import annotations

import json
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.segmentation.evaluation.datasets import rle, write_dataset
from vpp_deploy.errors import DatasetError
from vpp_deploy.tasks.segmentation.evaluation import evaluate_predictions, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.submission import MEMBER, read_submission

TRACK = [(5, 5, 25, 30), None, (10, 5, 30, 30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", {4: [(1, TRACK)], 9: [(2, TRACK)]})


def entry(video_id: int = 4, category_id: int = 1, score: float = 0.7, **fields: Any) -> dict[str, Any]:
    masks = [rle(corners) for corners in TRACK]
    return {"video_id": video_id, "category_id": category_id, "score": score, "segmentations": masks, **fields}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def zipped(path: Path, content: Any, member: str = MEMBER) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, json.dumps(content))
    return path


def test_a_track_counts_in_each_of_its_frames(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(folder)
    found = read_submission(write(tmp_path / "r.json", [entry(), entry(category_id=3)]), dataset)
    assert set(found) == {4, 9}
    assert found[9].tracks == []
    assert found[9].frames == [[], [], []]
    assert [len(frame) for frame in found[4].frames] == [2, 0, 2]
    first, second = found[4].frames[2]
    assert (first.category_id, first.score, first.box) == (1, 0.7, [5, 10, 25, 20])
    assert second.category_id == 3
    assert found[4].kept is None


def test_a_zipped_submission_scores_like_a_plain_one(folder: Path, tmp_path: Path) -> None:
    content = [entry(), entry(video_id=9, category_id=5)]
    plain = evaluate_predictions(write(tmp_path / "r.json", content), folder).to_dict()
    packed = evaluate_predictions(zipped(tmp_path / "r.zip", content), folder).to_dict()
    assert plain["runs"][0] == {
        "bundle": None,
        "bundle_hash": None,
        "differences": None,
        "engine": "r.json",
        "mode": None,
        "keep": None,
        "ap_track": pytest.approx(50),
        "ap_track_50": pytest.approx(50),
        "ap_track_75": pytest.approx(50),
        "ap_track_by_class": {
            "circle": pytest.approx(100), "square": 0, "triangle": None, "star": None, "ring": None
        },
        "map_bbox": pytest.approx(50),
        "map_segm": pytest.approx(50),
        "map_bbox_by_class": pytest.approx(plain["runs"][0]["ap_track_by_class"]),
        "map_segm_by_class": pytest.approx(plain["runs"][0]["ap_track_by_class"]),
        "kept": None,
        "kept_by_blocks": None,
        "objects_kept": None,
        "videos": 2,
        "frames": 6,
    }  # fmt: skip
    assert packed["runs"][0] == plain["runs"][0] | {"engine": "r.zip"}
    assert (plain["bundle"], plain["data"], plain["skipped"]) == (None, str(folder), [])


def test_entries_of_videos_that_are_not_evaluated_are_ignored(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", [entry(), entry(video_id=9)])
    report = evaluate_predictions(path, open_dataset(folder, videos=1))
    assert (report.runs[0].videos, report.runs[0].scores.ap_track) == (1, pytest.approx(100))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": 1}, "a JSON dict; a submission is a list"),
        ([entry(), 3], "entry 1: input should be a valid dictionary"),
        ([entry(), {"video_id": 4}], "entry 1.category_id: field required"),
        ([entry(video_id=5)], "entry 0: video 5 is not in"),
        ([entry(category_id=6)], "entry 0: category 6 is not in"),
        ([entry(score="high")], "entry 0.score: input should be a valid number, got 'high'"),
        ([entry(score=float("nan"))], "entry 0.score: input should be a finite number"),
        ([entry(segmentations=[None])], "entry 0: 1 segmentations, video 4 has 3 frames"),
        ([entry(video_id=9, segmentations=[None] * 2)], "entry 0: 2 segmentations, video 9 has 3 frames"),
        ([entry(), entry(segmentations=[None, None, rle((0, 0, 2, 2), (8, 8))])], "entry 1, frame 2: an RLE of size"),
        (
            [entry(segmentations=[None, {"size": [60, 90], "counts": "0"}, None])],
            "entry 0, frame 1: an RLE of 0 pixels",
        ),
    ],
)
def test_a_malformed_entry_is_named(content: Any, reason: str, folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(folder)
    for path in (write(tmp_path / "r.json", content), zipped(tmp_path / "r.zip", content)):
        with pytest.raises(DatasetError) as caught:
            read_submission(path, dataset)
        assert str(caught.value).startswith(f"{path}: ")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_files_that_are_no_submission(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(folder)
    text = tmp_path / "r.txt"
    text.write_text("video 1: a dog")
    other = zipped(tmp_path / "other.zip", [], member="other.json")
    damaged = zipped(tmp_path / "damaged.zip", [entry()])
    data = bytearray(damaged.read_bytes())
    data[60:90] = bytes(30)
    damaged.write_bytes(data)
    for path, reason in [
        (text, "not JSON"),
        (other, "no results.json in this zip"),
        (damaged, "cannot be read"),
        (tmp_path / "none.json", "No such file"),
        (tmp_path, "not a regular file"),
    ]:
        with pytest.raises(DatasetError, match=reason) as caught:
            read_submission(path, dataset)
        assert str(path) in str(caught.value)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(MEMBER, "w") as member:
        for _ in range(401):
            member.write(bytes(1_000_000))


def lying_bomb(path: Path) -> None:
    """Says that it is small."""
    bomb(path)
    data = path.read_bytes()
    path.write_bytes(data.replace((401_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))


def many_entries(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1100):
            archive.writestr(f"{number}.json", "")


def other_method(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(MEMBER, "[]")


@pytest.mark.parametrize(
    ("write_zip", "reason"),
    [
        (bomb, "unpacks to 401 MB, and the most that is read is 400 MB"),
        (lying_bomb, "cannot be read|not JSON"),
        (many_entries, "more than 1000 entries"),
        (other_method, "packed in an unusual way"),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_zip_files_that_are_made_to_harm(write_zip: Any, reason: str, folder: Path, tmp_path: Path) -> None:
    write_zip(tmp_path / "r.zip")
    dataset = open_dataset(folder)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=reason):
            read_submission(tmp_path / "r.zip", dataset)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
