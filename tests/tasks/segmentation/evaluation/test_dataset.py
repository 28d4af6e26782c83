from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tasks.segmentation.evaluation.datasets import SHAPES, SIZE, edit, rle, write_dataset
from vpp_deploy.errors import DatasetError, ExitCode, UsageError
from vpp_deploy.tasks.segmentation.evaluation import open_dataset
from vpp_deploy.tasks.segmentation.evaluation.annotations import parse_json
from vpp_deploy.tasks.segmentation.evaluation.dataset import match_categories

BOX = [(5, 5, 25, 30)] * 3
Change = Callable[[Any], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", {4: [(1, BOX)], 9: [(2, [None, (0, 0, 10, 20), None]), (5, BOX)]})


def test_what_is_in_a_data_set(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.annotations == folder / "instances.json"
    assert dataset.categories == dict(enumerate(SHAPES, start=1))
    assert [(video.id, video.name, video.size, len(video.files)) for video in dataset.videos] == [
        (4, "video_4", SIZE, 3),
        (9, "video_9", SIZE, 3),
    ]
    assert dataset.lengths == {4: 3, 9: 3}
    first, second = dataset.videos[1].tracks
    assert (first.category_id, first.iscrowd) == (2, False)
    assert first.segmentations == (None, rle((0, 0, 10, 20)), None)
    assert first.boxes == (None, [0, 0, 20, 10], None)
    assert second.boxes == ([5, 5, 25, 20],) * 3


def test_frames_are_decoded_at_their_size_and_letterboxed(folder: Path) -> None:
    video = open_dataset(folder).videos[0]
    frames = list(video.frames((64, 64)))
    assert [(frame.index, frame.name) for frame in frames] == [(n, f"0000{n}.jpg") for n in range(3)]
    assert all(frame.original_size == SIZE and frame.image.shape == (64, 64, 3) for frame in frames)
    assert frames[0].content_size == (43, 64)
    assert np.abs(frames[0].original[40, 60].astype(int) - 90).max() < 5


def test_polygons_plain_counts_and_files_without_boxes_lengths_or_crowds(folder: Path) -> None:
    def change(content: Any) -> None:
        for video in content["videos"]:
            del video["length"]
        for entry in content["annotations"]:
            del entry["bboxes"], entry["iscrowd"], entry["areas"]
        content["annotations"][0]["segmentations"] = [
            [[5, 5, 30, 5, 30, 25, 5, 25]],
            {"size": list(SIZE), "counts": [0, SIZE[0] * SIZE[1]]},
            [],
        ]

    edit(folder / "instances.json", change)
    track = open_dataset(folder).videos[0].tracks[0]
    assert track.boxes == ([5, 5, 25, 20], [0, 0, SIZE[1], SIZE[0]], None)


def test_the_annotations_own_boxes_count(folder: Path) -> None:
    edit(folder / "instances.json", lambda c: c["annotations"][0].update(bboxes=[[1, 2, 3.5, 4], None, [1, 1, 1, 1]]))
    assert open_dataset(folder).videos[0].tracks[0].boxes == ([1, 2, 3.5, 4], [5, 5, 25, 20], [1, 1, 1, 1])


@pytest.mark.parametrize("place", ["annotations/instances.json", "valid.json", "annotations/train.json"])
def test_where_the_annotations_may_be(place: str, folder: Path) -> None:
    (folder / "annotations").mkdir()
    (folder / "instances.json").rename(folder / place)
    assert open_dataset(folder).annotations == folder / place


def test_several_annotation_files_are_named_and_one_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    (folder / "train.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"several annotation files \(instances.json, train.json\).*--annotations"):
        open_dataset(folder)
    assert len(open_dataset(folder, folder / "instances.json").videos) == 2
    (folder / "instances.json").rename(tmp_path / "elsewhere.json")
    assert len(open_dataset(str(folder), str(tmp_path / "elsewhere.json")).videos) == 2


def test_the_first_videos_only(folder: Path) -> None:
    (folder / "JPEGImages" / "video_9" / "00001.jpg").unlink()
    dataset = open_dataset(folder, videos=1)
    assert [video.id for video in dataset.videos] == [4]
    assert dataset.lengths == {4: 3, 9: 3}
    with pytest.raises(UsageError, match="videos is 0"):
        open_dataset(folder, videos=0)


@pytest.mark.parametrize(("crowd", "expected"), [(False, False), (True, True), (0, False), (1, True)])
def test_crowds_may_be_written_as_booleans(crowd: Any, expected: bool, folder: Path) -> None:
    edit(folder / "instances.json", lambda c: c["annotations"][0].update(iscrowd=crowd))
    assert open_dataset(folder).videos[0].tracks[0].iscrowd is expected


def renamed(change: Callable[[str], str]) -> Change:
    def edited(content: Any) -> None:
        for video in content["videos"]:
            video["file_names"] = [change(name) for name in video["file_names"]]

    return edited


NAMES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "backslashes": ("video_4", lambda name: name.replace("/", "\\"), "names have backslashes, .* replace each with /"),
    "the folder of images": (
        "video_4",
        lambda name: f"JPEGImages/{name}",
        "begin with JPEGImages/, which is to be left",
    ),
    "case": ("Video_4", lambda name: name, "differs in upper and lower case alone"),
    "decomposed": ("vid\u00e9o", lambda name: name.replace("video_4", "vide\u0301o"), "composed in another way"),
    "composed": ("vide\u0301o", lambda name: name.replace("video_4", "vid\u00e9o"), "composed in another way"),
    "nothing alike": ("elsewhere", lambda name: name, "but instances.json lists it$"),
}


@pytest.mark.parametrize("case", NAMES)
def test_frames_that_are_not_under_their_names(case: str, folder: Path) -> None:
    stored, change, hint = NAMES[case]
    (folder / "JPEGImages" / "video_4").rename(folder / "JPEGImages" / stored)
    edit(folder / "instances.json", renamed(change))
    with pytest.raises(DatasetError, match=hint):
        open_dataset(folder)


def test_a_frame_that_its_exif_data_turns(folder: Path) -> None:
    video = open_dataset(folder).videos[0]
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (SIZE[1], SIZE[0])).save(video.files[1], exif=turned)
    with pytest.raises(
        DatasetError, match=r"this frame is 90x60 .* says 60x90; masks belong to the picture as it is shown"
    ):
        list(video.frames(SIZE))


def test_folders_of_classes_are_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "cats" / "a.jpg")
    with pytest.raises(DatasetError, match="such as cats, seem to hold the pictures of a class each"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 10**6}, "less than or equal to 65535"),
        ({"height": 2**70}, "less than or equal to 65535"),
        ({"id": 10**400}, "videos"),
    ],
)
def test_numbers_that_no_data_set_has(fields: dict[str, int], reason: str, folder: Path) -> None:
    edit(folder / "instances.json", lambda c: c["videos"][0].update(fields))
    with pytest.raises(DatasetError, match=reason) as caught:
        open_dataset(folder)
    assert len(str(caught.value)) < 500


def test_files_that_are_too_large_or_not_regular(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(5 << 30)
    os.mkfifo(tmp_path / "fifo.json")
    for name, reason in (("sparse.json", "has 5.37 GB, .* 400 MB"), ("fifo.json", "not a regular file")):
        with pytest.raises(DatasetError, match=reason):
            open_dataset(folder, tmp_path / name)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"[]," * 10**7 + b"[]]"])
def test_nesting_and_numbers_of_values_are_bounded(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nested too deep|more than 20000000 values"):
        parse_json(tmp_path / "x.json", content)


def test_labels_are_matched_by_name_whatever_the_case(folder: Path) -> None:
    def change(content: Any) -> None:
        content["categories"] = [{"id": 5, "name": "Ring "}, {"id": 1, "name": "circle"}, {"id": 2, "name": "SQUARE"}]

    edit(folder / "instances.json", change)
    dataset = open_dataset(folder)
    assert match_categories(dataset, SHAPES) == {4: 5, 0: 1, 1: 2}
    with pytest.raises(DatasetError, match=r"category 'Ring' is none of the model's 2 classes \(circle, square\)"):
        match_categories(dataset, SHAPES[:2])


def second_track(content: Any, **fields: Any) -> None:
    content["annotations"][1].update(fields)


VIDEO_FAULTS: dict[str, tuple[Change, str]] = {
    "length": (lambda c: c["videos"][1].update(length=4), "video 9 has length 4 and 3 file names"),
    "segmentations": (lambda c: second_track(c, segmentations=[None]), "annotation 2 of video 9 has 1 segmentations"),
    "bboxes": (lambda c: second_track(c, bboxes=[None] * 4), "annotation 2 of video 9 has 4 bboxes, the video has 3"),
    "category": (lambda c: second_track(c, category_id=77), "category 77, which is not among the categories"),
    "size": (
        lambda c: second_track(c, segmentations=[None, rle((0, 0, 1, 1), (9, 9)), None]),
        "frame 1: an RLE of size",
    ),
    "counts": (
        lambda c: second_track(c, segmentations=[{"size": list(SIZE), "counts": "zz"}, None, None]),
        "frame 0: the counts have the character 'z'",
    ),
    "box": (
        lambda c: second_track(c, bboxes=[[1, 2, 3], None, None]),
        r"annotations\[1\].bboxes\[0\]: list should have",
    ),
    "no category": (lambda c: c["annotations"][1].pop("category_id"), r"annotations\[1\].category_id: field required"),
    "frame": (
        lambda c: c["videos"][1]["file_names"].__setitem__(2, "video_9/x.jpg"),
        "x.jpg: this frame does not exist",
    ),
}
FILE_FAULTS: dict[str, tuple[Change, str]] = {
    "no videos": (lambda c: c.pop("videos"), "has no 'videos'"),
    "empty videos": (lambda c: c.update(videos=[]), "the list 'videos' is empty"),
    "videos no list": (lambda c: c.update(videos={}), "something else than a list"),
    "no annotations": (lambda c: c.pop("annotations"), "has no 'annotations'"),
    "no categories": (lambda c: c.update(categories=[]), "the list 'categories' is empty"),
    "category without name": (lambda c: c["categories"][1].pop("name"), r"categories\[1\].name: field required"),
    "category with empty name": (lambda c: c["categories"][1].update(name=" "), "category 2 has an empty name"),
    "video id twice": (lambda c: c["videos"][1].update(id=4), "video id 4 occurs twice"),
    "category id twice": (lambda c: c["categories"][1].update(id=1), "category id 1 occurs twice"),
    "category name twice": (lambda c: c["categories"][1].update(name="Circle"), "category name circle occurs twice"),
    "annotation id twice": (lambda c: second_track(c, id=1), "annotation id 1 occurs twice"),
    "unknown video": (lambda c: second_track(c, video_id=5), r"annotations\[1\] is of video 5, which is not among"),
    "no video": (lambda c: c["annotations"].append(None), r"annotations\[3\] is of video None"),
    "video without size": (lambda c: c["videos"][0].pop("width"), r"videos\[0\].width: field required"),
    "video without frames": (lambda c: c["videos"][0].update(file_names=[]), r"videos\[0\].file_names: list should"),
}


def fault(folder: Path, **options: Any) -> str:
    """The one line of the error."""
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder, **options)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", VIDEO_FAULTS | FILE_FAULTS)
def test_a_fault_is_an_error_that_names_the_file_and_what_is_wrong(name: str, folder: Path) -> None:
    change, reason = (VIDEO_FAULTS | FILE_FAULTS)[name]
    edit(folder / "instances.json", change)
    with pytest.raises(DatasetError, match=reason):
        open_dataset(folder)
    line = fault(folder)
    assert line.startswith(str(folder))
    assert "instances.json" in line


@pytest.mark.parametrize("name", VIDEO_FAULTS)
def test_keep_going_leaves_the_video_out_and_says_why(name: str, folder: Path) -> None:
    change, _ = VIDEO_FAULTS[name]
    edit(folder / "instances.json", change)
    dataset = open_dataset(folder, keep_going=True)
    assert [video.id for video in dataset.videos] == [4]
    (skipped,) = dataset.skipped
    assert (skipped.video, skipped.reason) == ("video_9", fault(folder))


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_keep_going_does_not_go_on_with_a_broken_file(name: str, folder: Path) -> None:
    edit(folder / "instances.json", FILE_FAULTS[name][0])
    fault(folder, keep_going=True)


def test_no_video_is_left(folder: Path) -> None:
    for name in ("video_4", "video_9"):
        (folder / "JPEGImages" / name / "00000.jpg").unlink()
    assert "every video has a fault, the first one" in fault(folder, keep_going=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\xff", "null"])
def test_something_else_than_an_annotation_file(content: str, folder: Path) -> None:
    (folder / "instances.json").write_text(content, encoding="latin-1")
    assert fault(folder).startswith(str(folder / "instances.json"))


def test_a_folder_that_is_none_and_files_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in fault(tmp_path / "none")
    assert "no annotation file" in fault(folder / "JPEGImages")
    assert str(tmp_path / "no.json") in fault(folder, annotations=tmp_path / "no.json")
    (folder / "JPEGImages").rename(tmp_path / "moved")
    assert str(folder / "JPEGImages") in fault(folder)


def test_a_frame_of_another_size(folder: Path) -> None:
    path = folder / "JPEGImages" / "video_4" / "00001.jpg"
    Image.new("RGB", (30, 20)).save(path)
    with pytest.raises(DatasetError, match=r"00001.jpg: this frame is 20x30 .* says 60x90"):
        list(open_dataset(folder).videos[0].frames((64, 64)))


def test_a_replaced_frame_changes_the_stamp(folder: Path) -> None:
    video = open_dataset(folder).videos[0]
    before = video.stamp()
    assert open_dataset(folder).videos[0].stamp() == before
    Image.new("RGB", (90, 60)).save(video.files[1])
    assert video.stamp() != before
