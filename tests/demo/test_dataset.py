from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vpp_deploy.demo import dataset
from vpp_deploy.demo.dataset import MIN_PIXELS, track_entries, write_dataset
from vpp_deploy.demo.scenes import SceneClip, render_clip
from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.tasks.segmentation.evaluation.dataset import match_categories, open_dataset

SIZE = (64, 96)
SMALL: dict[str, Any] = {"clips": 3, "seed": 2, "split": "val", "frames": 4, "size": SIZE}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def annotated(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "instances.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set. Shared: do not write to it."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_dataset(folder, **SMALL)
    return folder


def test_the_annotations_are_the_identities(written: Path) -> None:
    content = annotated(written)
    for index, video in enumerate(content["videos"]):
        clip = render_clip("val", 2, index, frames=4, size=SIZE)
        tracks = [entry for entry in content["annotations"] if entry["video_id"] == video["id"]]
        visible = [n for n in range(1, len(clip.labels) + 1) if (clip.identities == n).sum((1, 2)).max() >= MIN_PIXELS]
        assert [track["category_id"] for track in tracks] == [clip.labels[number - 1] + 1 for number in visible]
        for number, track in zip(visible, tracks, strict=True):
            for mask, rle, box, area in zip(
                clip.identities == number, track["segmentations"], track["bboxes"], track["areas"], strict=True
            ):
                if rle is None:
                    assert not mask.any()
                    assert box is area is None
                    continue
                np.testing.assert_array_equal(coco_mask.decode(rle), mask)
                y, x = np.nonzero(mask)
                assert box == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
                assert area == mask.sum() > 0


def test_the_layout(written: Path) -> None:
    content = annotated(written)
    assert set(content) == {"info", "licenses", "videos", "categories", "annotations"}
    assert [category["name"] for category in content["categories"]] == list(DATASETS["shapes"])
    assert [category["id"] for category in content["categories"]] == [1, 2, 3, 4, 5]
    assert content["videos"][1] == {
        "id": 2,
        "width": 96,
        "height": 64,
        "length": 4,
        "file_names": [f"val-2-00001/{frame:05d}.jpg" for frame in range(4)],
    }
    track = content["annotations"][0]
    assert track["id"] == 1
    assert (track["height"], track["width"], track["iscrowd"]) == (64, 96, 0)
    files = {f"JPEGImages/{name}" for video in content["videos"] for name in video["file_names"]}
    assert set(contents(written)) == files | {"instances.json"}


def test_the_images_are_the_frames(written: Path) -> None:
    with Image.open(written / "JPEGImages" / "val-2-00002" / "00003.jpg") as image:
        picture = np.asarray(image).astype(int)
    frame = render_clip("val", 2, 2, frames=4, size=SIZE).frames[3]
    assert picture.shape == frame.shape
    assert np.abs(picture - frame).mean() < 8


def test_it_can_be_evaluated_on(written: Path) -> None:
    opened = open_dataset(written)
    assert [video.name for video in opened.videos] == ["val-2-00000", "val-2-00001", "val-2-00002"]
    assert match_categories(opened, DATASETS["shapes"]) == {label: label + 1 for label in range(5)}


def test_the_arguments_decide_every_byte(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", **SMALL)
    assert contents(tmp_path / "again") == contents(written)
    write_dataset(tmp_path / "other", **{**SMALL, "seed": 3})
    assert contents(tmp_path / "other") != contents(written)


def test_the_summary_and_the_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    summary = write_dataset(tmp_path / "new", **SMALL, progress=lambda done, expected: calls.append((done, expected)))
    assert calls == [(4, 12), (8, 12), (12, 12)]
    assert (summary.path, summary.videos, summary.frames) == (tmp_path / "new", 3, 12)
    assert summary.objects == len(annotated(tmp_path / "new")["annotations"])


def test_objects_that_are_hardly_seen_are_not_annotated() -> None:
    identities = np.zeros((3, 20, 40), np.uint8)
    identities[0, :7, :9] = 1  # 63 pixels
    identities[2, :8, 20:28] = 2  # 64 pixels
    clip = SceneClip(np.zeros((3, 20, 40, 3), np.uint8), identities, np.array([3, 4, 0]))
    [entry] = track_entries(clip)
    assert entry["category_id"] == 5
    assert entry["areas"] == [None, None, 64]
    assert entry["bboxes"] == [None, None, [20, 0, 8, 8]]
    assert [rle is None for rle in entry["segmentations"]] == [True, True, False]


def interrupt(split: str, seed: int, index: int, **options: Any) -> SceneClip:
    if index == 1:
        raise KeyboardInterrupt
    return render_clip(split, seed, index, **options)


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_run_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    folder = tmp_path / "data"
    if before:
        write_dataset(folder, **SMALL)
    there = contents(tmp_path)
    monkeypatch.setattr(dataset, "render_clip", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(folder, **{**SMALL, "seed": 5}, overwrite=True)
    assert contents(tmp_path) == there
    assert [path.name for path in tmp_path.iterdir()] == (["data"] if before else [])


def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match=r"cannot write the data set .*: No space left on device"):
        write_dataset(tmp_path / "data", **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_dataset(folder, **SMALL)  # empty: nothing to lose
    with pytest.raises(OutputError, match="is not empty"):
        write_dataset(folder, **SMALL)
    write_dataset(folder, **{**SMALL, "clips": 1}, overwrite=True)
    assert len(annotated(folder)["videos"]) == 1
    assert len(list((folder / "JPEGImages").iterdir())) == 1


def test_nothing_but_a_data_set_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds more than a data set \(notes.txt\)"):
        write_dataset(tmp_path, **SMALL, overwrite=True)
    with pytest.raises(OutputError, match="is not a folder"):
        write_dataset(tmp_path / "notes.txt", **SMALL, overwrite=True)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    "name", ["mine.txt", "JPEGImages/mine.jpg", "JPEGImages/val-2-00000/mine.jpg", "JPEGImages/m/m"]
)
def test_files_of_others_in_a_data_set_are_kept(tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path / "data", **SMALL)
    mine = tmp_path / "data" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(OutputError, match="holds more than a data set"):
        write_dataset(tmp_path / "data", **SMALL, overwrite=True)
    assert mine.read_text() == "mine"


def test_a_data_set_of_somebody_else_is_kept(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", **SMALL)
    path = tmp_path / "data" / "instances.json"
    path.write_text(json.dumps(annotated(tmp_path / "data") | {"info": {"description": "Years of annotation"}}))
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="holds more than a data set"):
        write_dataset(tmp_path / "data", **SMALL, overwrite=True)
    assert contents(tmp_path) == before


def test_a_folder_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write_dataset(tmp_path / "missing" / "data", **SMALL)


@pytest.mark.parametrize(
    "wrong", [{"clips": 0}, {"frames": 0}, {"seed": -1}, {"size": (20, 96)}, {"split": "test"}, {"frames": 10**9}]
)
def test_arguments_out_of_range(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="synthetic"):
        write_dataset(tmp_path / "data", **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())
