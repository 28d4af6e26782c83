"""How often a classifier is right: what is counted, and which classes are meant."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import vpp_deploy as vd
from tests.bundle.classifier_factory import CLASSES, CLIP, make_classifier, make_engine
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import DatasetError, UsageError, VideoError
from vpp_deploy.tasks.classification.evaluation import LabelledPictures, open_pictures
from vpp_deploy.tasks.classification.evaluation.dataset import BY_ORDER, IMAGE_NET, match_labels

MOST_PAIRS = 7
BRIGHTNESS = {"dark": 10, "grey": 128, "bright": 250}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("evaluated")
    make_engine(folder / "a.bundle", batch=2)
    return vd.Bundle.open(folder / "a.bundle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of each brightness, and of several sizes; the first ones have no number."""
    folder = tmp_path_factory.mktemp("photos")
    for number, (name, level) in enumerate(BRIGHTNESS.items()):
        for one in ("", *range(MOST_PAIRS)):
            Image.fromarray(np.full((40 + number, 60, 3), level, np.uint8)).save(folder / f"{name}{one}.png")
    return folder


def table(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{name}.png,{label}\n" for name, label in pairs))
    return path


PAIRS = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=MOST_PAIRS)


@settings(max_examples=25)
@given(pairs=PAIRS)
def test_what_is_right_is_counted(bundle: Bundle, photos: Path, pairs: list[tuple[str, str]]) -> None:
    """The model tells the three apart for certain, so that what the table claims decides."""
    named = [(f"{name}{number}", label) for number, (name, label) in enumerate(pairs)]
    report = vd.evaluate(bundle, table(photos / "t.csv", named))
    (run,) = report.runs
    assert run.images == len(pairs)
    assert run.top1 == pytest.approx(100 * np.mean([name == label for name, label in pairs]))
    assert run.top5 is None
    for one in run.by_class:
        own = [name for name, label in pairs if label == one.name]
        assert one.images == len(own)
        assert one.top1 == pytest.approx(100 * np.mean([name == one.name for name in own]))
    assert sum(one.images for one in run.by_class) == len(pairs)


def test_engines_and_keep_ratios_side_by_side(papr_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    """A real ViT: its own labels are the truth, by one engine and then by PyTorch."""
    model = vd.load(papr_bundle, top=1000)
    found = {name: model(photos / f"{name}.png").labels.tolist() for name in BRIGHTNESS}
    truths = {"dark": found["dark"][0], "grey": found["grey"][4], "bright": found["bright"][5]}
    data = table(tmp_path / "t.csv", [(str(photos / name), str(label)) for name, label in truths.items()])
    told: list[str] = []
    report = vd.evaluate(papr_bundle, data, ["onnxruntime", "torch"], progress=lambda *now: told.append(now[2]))
    first, second = report.runs
    assert (first.top1, first.top5) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert (second.top1, second.top5, second.agreement) == (first.top1, first.top5, 100)
    assert (first.agreement, first.keep, first.kept) == (None, "0.5", {"patches": 0.5})
    assert 0 < first.cost < 1
    assert [what.split(":")[0] for what in told] == ["onnxruntime"] * 4 + ["torch"] * 4
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["bundle"] == papr_bundle.path.name
    assert plain["runs"][0]["differences"] is None
    assert plain["runs"][1]["differences"] == {"top1": 0, "top5": 0}


def test_bundles_side_by_side(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    """The other one has its classes in another order, and each is asked for them by name."""
    make_engine(tmp_path / "b.bundle", class_names=("bright", "grey", "dark"))
    other = vd.Bundle.open(tmp_path / "b.bundle")
    data = table(photos / "both.csv", [(name, name) for name in CLASSES])
    report = vd.evaluate([bundle, other], data)
    assert [(run.bundle, run.top1) for run in report.runs] == [
        ("a.bundle", 100),
        ("b.bundle", pytest.approx(100 / 3)),
    ]
    assert report.to_dict()["bundle"] is None
    assert report.to_dict()["runs"][1]["differences"]["top1"] == pytest.approx(-200 / 3)


def test_the_clips_of_a_video_are_one_answer(tmp_path: Path) -> None:
    make_engine(tmp_path / "c.bundle", clip=CLIP, batch=2)
    for name in ("dark", "bright"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number, frames in enumerate((1, 9, 30)):
            write_clip(tmp_path / "data" / name / f"{number}.mkv", frames=frames, size=(32, 48))
    bundle = vd.Bundle.open(tmp_path / "c.bundle")
    model = vd.load(bundle)
    report = vd.evaluate(bundle, tmp_path / "data")
    (run,) = report.runs
    expected = []
    for file in sorted((tmp_path / "data").rglob("*.mkv")):
        scores = np.zeros(3)
        for result in model.run(file):
            scores[result.labels] += result.scores
        expected.append(CLASSES[scores.argmax()] == file.parent.name)
    assert run.images == 6
    assert run.top1 == pytest.approx(100 * np.mean(expected))


def test_a_folder_of_folders(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    for name in ("Dark", "bright"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for place in (tmp_path / name, tmp_path / name / "deeper"):
            (place / "x.png").write_bytes((photos / f"{name.casefold()}.png").read_bytes())
    (tmp_path / "Dark" / "notes.txt").write_text("no picture")
    report = vd.evaluate(bundle, tmp_path)
    assert (report.matched, report.runs[0].images, report.runs[0].top1) == ("by name", 4, 100)


def pictures(labels: list[str]) -> LabelledPictures:
    return LabelledPictures(Path.cwd(), tuple(Path(label) for label in labels), tuple(labels), tuple(labels))


def test_which_class_is_meant() -> None:
    names = ("tench, Tinca tinca", "crane", "crane", "goldfish", "2")
    assert match_labels(pictures(["Tinca_tinca", "1", "goldfish", "2"]), names, "custom")[0] == {
        "Tinca_tinca": 0,
        "1": 1,
        "goldfish": 3,
        "2": 4,  # a name before a number
    }
    own = ("x", "y", "z")
    assert match_labels(pictures(["c", "a", "b"]), own, "custom") == (
        {"a": 0, "b": 1, "c": 2},
        "by the order of the folders",
    )
    for label, known, words in (
        ("crane", names, "2 classes of the model are named 'crane' (1, 2)"),
        ("goldfish5", ("goldfish", "dog"), "the model has no class named 'goldfish5'"),
        ("b", (70 * "a", "c"), f"its classes are '{60 * 'a'}…', 'c': name them so"),
    ):
        with pytest.raises(DatasetError) as caught:
            match_labels(pictures([label]), known, "custom")
        assert words in str(caught.value)


def test_some_of_imagenets_classes_by_their_wordnet_ids() -> None:
    names = tuple(f"class {label}" for label in range(1000))
    labels, how = match_labels(pictures(["n01440764", "n02979186", "n15075141"]), names, IMAGE_NET)
    assert (labels, how) == ({"n01440764": 0, "n02979186": 482, "n15075141": 999}, "by WordNet id")
    with pytest.raises(DatasetError, match="'n00000001' is not of ImageNet's 1000 classes"):
        match_labels(pictures(["n00000001"]), names, IMAGE_NET)


def test_a_few_are_spread_over_all(photos: Path, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.png").symlink_to(photos / "dark.png")
    data = table(tmp_path / "t.csv", [(str(number), str(number)) for number in range(100)])
    assert open_pictures(data, limit=4).labels == ("0", "25", "50", "75")
    assert len(open_pictures(data, limit=1000).files) == 100


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no file is in this table"),
        (b"dark.png\n", "line 1: 1 columns, and not 2; write path,label"),
        (b"dark.png,dark,extra\n", "line 1: 3 columns"),
        (b"dark.png,\n", "line 1: no path, or no label"),
        (b"path,label\ndark.png\n", "line 2: 1 columns"),
        (b'"dark.png,dark\n', "not CSV"),
        (b"\xff\xfe", "not a UTF-8 text file"),
        (b"dark.png,dark\ngrey.png,grey,extra\n", "line 2: 3 columns, and not 2"),
        (b"path,label,size\ndark.png,dark,1\ngrey.png,grey\n", "line 3: 2 columns, and not 3"),
        (b"path,label\nda,rk.png,dark\n", "line 2: 3 columns, and not 2"),
        (b"gone.png,dark\n", "gone.png: this file, which"),
        (b"image,class\ndark.png,dark\n", "does not exist; check the path, or call the columns path and label"),
        (b"x" * 300 + b",dark\n", "cannot be read (File name too long)"),
        (b"../,dark\n", "is not a regular file"),
        (b"dark.png,dark\ngrey.png,purple\n", "the model has no class 'purple'"),
        (b"dark.png,dark\ngrey.png,grey\n\ndark.png,grey\n", "lines 1 and 4: "),
        (b"dark.png,dark\n./dark.png,grey\n", "is 'dark', and then 'grey'; leave one out"),
        (b".link/dark.png,dark\ndark.png,grey\n", "lines 1 and 2: "),
    ],
)
def test_a_table_that_makes_no_sense(bundle: Bundle, photos: Path, content: bytes, words: str) -> None:
    (photos / "wrong.csv").write_bytes(content)
    if not (photos / ".link").is_symlink():
        (photos / ".link").symlink_to(".")
    with pytest.raises(DatasetError) as caught:
        vd.evaluate(bundle, photos / "wrong.csv")
    assert words in str(caught.value)
    assert str(photos) in str(caught.value)


def test_headings_blank_lines_and_a_folder_of_its_own(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "t.csv"
    listed.write_bytes(b"\xef\xbb\xbfsize,Label,Path\r\n1,dark,dark.png\r\n\r\n2,bright,bright.png\r\n")
    report = vd.evaluate(bundle, photos, annotations=listed)
    assert (report.runs[0].images, report.runs[0].top1) == (2, 100)


def test_a_row_that_is_there_twice_counts_once(bundle: Bundle, photos: Path) -> None:
    (photos / "twice.csv").write_text("dark.png,dark\n./dark.png,dark\n\nbright.png,dark\ndark.png,dark\n")
    (run,) = vd.evaluate(bundle, photos / "twice.csv").runs
    assert (run.images, run.top1) == (2, 50)


@given(name=st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_name_in_a_table_is_the_name_of_its_file(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Written as the csv module writes it, line ends of any kind among its characters."""
    folder = tmp_path_factory.getbasetemp()
    name = f"x{name}x"  # what is around a cell is no part of it
    with (folder / "names.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), (name, name)])
    (folder / name).touch()
    found = open_pictures(folder / "names.csv")
    assert (found.files, found.labels) == ((folder / name,), (name,))


def test_the_labels_of_a_table_have_no_order(photos: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "t.csv", [("dark", "a"), ("grey", "b"), ("bright", "c")])
    for opened in (open_pictures(photos, data), open_pictures(table(photos / "t.csv", [("dark", "a")]))):
        with pytest.raises(DatasetError, match=r"t\.csv: the model has no class named 'a'"):
            match_labels(opened, CLASSES[: len(opened.classes)], "custom")


FOLDERS = st.lists(st.sampled_from(("dark", "grey", "bright", "a", "b", "0", "1", "3")), min_size=1, unique=True)


@settings(max_examples=40)
@given(folders=FOLDERS, empty=st.integers(0, 3), limit=st.integers(1, 4))
def test_a_part_is_matched_as_the_whole_is(
    tmp_path_factory: pytest.TempPathFactory, folders: list[str], empty: int, limit: int
) -> None:
    """Whatever is asked for, and whichever folders happen to have no picture."""
    data = tmp_path_factory.mktemp("folders")
    for number, name in enumerate(folders):
        (data / name).mkdir()
        if number >= empty or number == len(folders) - 1:
            (data / name / "x.png").touch()

    def outcome(limit: int | None) -> object:
        try:
            return match_labels(open_pictures(data, limit=limit), CLASSES, "custom")
        except DatasetError as error:
            return str(error)

    whole = outcome(None)
    assert outcome(limit) == whole
    (data / folders[0] / "y.png").touch()  # a folder that was empty has a picture
    assert outcome(None) == whole
    if isinstance(whole, tuple) and whole[1] == BY_ORDER:
        assert whole[0] == {name: label for label, name in enumerate(sorted(folders))}


def test_a_link_to_nothing_in_a_folder(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark" / "a.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "dark" / "b.png").symlink_to(photos / "dark.png")
    (tmp_path / "dark" / "c.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"a\.png: this file is a link to what does not exist"):
        vd.evaluate(bundle, tmp_path)
    report = vd.evaluate(bundle, tmp_path, keep_going=True)
    assert [image for image, _ in report.skipped] == ["dark/a.png", "dark/c.png"]
    assert report.runs[0].images == 1


def test_what_has_a_fault_ends_it_or_is_left_out(bundle: Bundle, photos: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "dark.png").read_bytes()[:60])
    data = table(photos / "faulty.csv", [("dark", "dark"), ("broken", "grey"), ("gone", "grey"), ("grey", "grey")])
    with pytest.raises(DatasetError, match=r"gone\.png"):
        vd.evaluate(bundle, data)
    report = vd.evaluate(bundle, data, keep_going=True)
    assert (report.runs[0].images, report.runs[0].top1) == (2, 100)
    assert [image for image, _ in report.skipped] == ["gone.png", "broken.png"]
    with pytest.raises(VideoError, match=r"broken\.png"):
        vd.evaluate(bundle, table(photos / "faulty.csv", [("broken", "grey")]))
    with pytest.raises(DatasetError, match=r"every file has a fault, the first one: .*broken\.png"):
        vd.evaluate(bundle, table(photos / "faulty.csv", [("broken", "grey")]), keep_going=True)


def test_calls_that_make_no_sense(bundle: Bundle, micro_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    clips = make_classifier(tmp_path / "c.bundle", clip=CLIP)
    data = table(photos / "t.csv", [("dark", "dark")])
    for bundles, options, words in (
        ([], {}, "at least one bundle"),
        ([bundle, bundle], {}, "each one once"),
        ([bundle, micro_bundle], {}, "cannot be evaluated together"),
        ([bundle, clips], {}, "of images and of clips"),
        (bundle, {"mode": "threshold"}, "mode and work are not for classification models"),
        (bundle, {"limit": 0}, "limit 0"),
        (bundle, {"limit": "3"}, "limit is '3'; give a whole number"),
        (bundle, {"limit": True}, "limit is True; give a whole number"),
        (bundle, {"annotations": 3}, "annotations is 3; give a path"),
        (bundle, {"engines": None}, "None is no engine"),
        (micro_bundle, {"work": 3}, "work is 3; give a path"),
        (bundle, {"engines": []}, "no engine to evaluate"),
        (bundle, {"engines": ["onnxruntime", "onnxruntime"]}, "each can be evaluated once"),
        (str(bundle.path), {}, "Bundle"),
    ):
        with pytest.raises(UsageError) as caught:
            vd.evaluate(bundles, data, **options)  # type: ignore[arg-type]
        assert words in str(caught.value)
    for nothing in (None, 3):
        with pytest.raises(UsageError, match=f"data is {nothing}; give a path"):
            vd.evaluate(bundle, nothing)
    with pytest.raises(DatasetError, match="no folder of files for each class"):
        vd.evaluate(bundle, photos)
    with pytest.raises(DatasetError, match=r"t\.csv is no folder, and the paths in .*t\.csv begin at one"):
        vd.evaluate(bundle, data, annotations=data)
    assert vd.evaluate(bundle, data, "onnxruntime").runs[0].engine == "onnxruntime"
