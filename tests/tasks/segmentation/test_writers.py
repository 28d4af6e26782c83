from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from tests.tasks.segmentation.fakes import make_instances, make_result, rectangle
from vpp_deploy.errors import OutputError
from vpp_deploy.tasks.segmentation.writers import JsonLinesWriter, YouTubeVisWriter, encode_mask

SIZE = (20, 30)
NAMES = ("person", "giant panda")
NO_INSTANCES = make_result(make_instances([], SIZE))


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_and_fail(writer: JsonLinesWriter | YouTubeVisWriter, frames: int) -> None:
    with writer:
        for _ in range(frames):
            writer.write(NO_INSTANCES)
        raise RuntimeError


@given(
    mask=st.tuples(st.integers(1, 9), st.integers(1, 12)).flatmap(lambda size: arrays(np.bool_, size)),
    margins=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_a_mask_is_encoded_as_coco_does_it(mask: np.ndarray, margins: tuple[int, int]) -> None:
    framed = np.pad(mask, ((0, margins[0]), (margins[1], 0)))
    expected = coco_mask.encode(np.asfortranarray(framed, np.uint8))
    assert encode_mask(framed) == {"size": list(framed.shape), "counts": expected["counts"].decode()}


def test_a_line_holds_everything_about_the_frame(tmp_path: Path) -> None:
    mask = rectangle(SIZE, 2, 3, 10, 20)
    mask[5, 5] = False
    instances = make_instances([mask], SIZE, scores=[0.875], labels=[1], identities=[4])
    result = make_result(
        instances, kept={"map_selection": [0, 3], "selection_3": [3]}, grid=(2, 2), index=7, time=Fraction(7, 2)
    )
    path = tmp_path / "out.jsonl"
    with JsonLinesWriter(path, NAMES) as writer:
        writer.write(result, name="7.png")
        writer.write(NO_INSTANCES)
        assert not path.exists()
    first, second = read_lines(path)
    segmentation = first["instances"][0].pop("segmentation")
    assert first == {
        "index": 7,
        "time": 3.5,
        "name": "7.png",
        "size": [20, 30],
        "instances": [{"identity": 4, "label": 1, "class": "giant panda", "score": 0.875, "box": [3, 2, 20, 10]}],
        "kept": {"map_selection": [0, 3], "selection_3": [3]},
        "keep_ratios": {"map_selection": 0.5, "selection_3": 0.25},
        "candidates_dropped": 0,
        "tracks_not_fed": 0,
        "seconds": {"engine": 0.01, "host": 0.002},
    }
    np.testing.assert_array_equal(coco_mask.decode(segmentation), mask)
    assert second["instances"] == []
    assert second["time"] is None
    assert "name" not in second
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_after_an_exception_complete_lines_are_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        write_and_fail(JsonLinesWriter(path, NAMES), frames=2)
    assert path.read_text() == "before"
    assert len(read_lines(tmp_path / "out.jsonl.partial")) == 2
    assert {file.name for file in tmp_path.iterdir()} == {"out.jsonl", "out.jsonl.partial"}


def test_a_full_disk_keeps_only_complete_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    writer = JsonLinesWriter(path, NAMES)
    writer.write(NO_INSTANCES)
    monkeypatch.setattr(writer, "_file", _FullDisk(writer._file))
    with pytest.raises(OutputError, match="No space left"), writer:
        writer.write(NO_INSTANCES)
    assert len(read_lines(tmp_path / "out.jsonl.partial")) == 1


class _FullDisk:
    """Writes half of what it gets, then fails."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise AssertionError("not reached")

    def close(self) -> None:
        self._file.close()


def test_nothing_is_kept_when_no_line_was_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail(JsonLinesWriter(tmp_path / "out.jsonl", NAMES), frames=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [lambda path: JsonLinesWriter(path, NAMES), YouTubeVisWriter])
def test_unwritable_targets_fail_in_the_constructor(tmp_path: Path, make) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for target in ("nowhere/out.json", "file/out.json", "folder"):
        with pytest.raises(OutputError) as caught:
            make(tmp_path / target)
        assert "\n" not in str(caught.value)
        assert target in str(caught.value)


def test_youtube_vis_tracks(tmp_path: Path) -> None:
    left, right = rectangle(SIZE, 0, 0, 10, 10), rectangle(SIZE, 5, 12, 20, 30)
    path = tmp_path / "results.json"
    with YouTubeVisWriter(path, video_id=3) as writer:
        writer.write(make_result(make_instances([left], SIZE, scores=[0.5], labels=[0], identities=[1])))
        writer.write(NO_INSTANCES)
        both = make_instances([right, left], SIZE, scores=[0.75, 0.25], labels=[0, 1], identities=[8, 1])
        writer.write(make_result(both))
        writer.write(make_result(make_instances([right], SIZE, scores=[0.5], labels=[1], identities=[1])))
        writer.start_video(9)
        writer.write(make_result(make_instances([right], SIZE, scores=[1.0], labels=[1], identities=[1])))
    first, second, third = json.loads(path.read_text())
    # Identity 1: label 0 sums to 0.5, label 1 to 0.75.
    assert (first["video_id"], first["category_id"]) == (3, 2)
    assert first["score"] == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert (second["video_id"], second["category_id"], second["score"]) == (3, 1, 0.75)
    assert (third["video_id"], third["category_id"], third["score"]) == (9, 2, 1.0)
    expected: list[list[Any]] = [[left, None, left, right], [None, None, right, None], [right]]
    for entry, masks in zip((first, second, third), expected, strict=True):
        assert len(entry["segmentations"]) == len(masks)
        for segmentation, mask in zip(entry["segmentations"], masks, strict=True):
            if mask is None:
                assert segmentation is None
            else:
                np.testing.assert_array_equal(coco_mask.decode(segmentation), mask)


def test_an_empty_mask_is_no_segmentation(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with YouTubeVisWriter(path) as writer:
        writer.write(make_result(make_instances([np.zeros(SIZE, np.bool_)], SIZE)))
    assert json.loads(path.read_text())[0]["segmentations"] == [None]


def test_youtube_vis_leaves_nothing_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail(YouTubeVisWriter(tmp_path / "results.json"), frames=1)
    assert list(tmp_path.iterdir()) == []
