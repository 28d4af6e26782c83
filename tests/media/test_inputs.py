"""Patterns, lists, and names of what is made of several inputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.inputs import Inputs, find_inputs, output_names
from vpp_deploy.media.probe import is_still


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("10.mp4", "2.mp4", "a[1].mp4", "in/3.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("given", "found", "several"),
    [
        (["2.mp4"], ["2.mp4"], False),
        (["a[1].mp4"], ["a[1].mp4"], False),
        (["not there.mp4"], ["not there.mp4"], False),
        (["rtsp://host/a?channel=1"], ["rtsp://host/a?channel=1"], False),
        (["-"], ["-"], False),
        (["0", "2.mp4"], ["0", "2.mp4"], True),
        (["[0-9]*.mp4"], ["2.mp4", "10.mp4"], True),
        (["1?.mp4"], ["10.mp4"], True),
        (["**/3.mp4"], ["in/3.mp4"], True),
    ],
)
def test_what_words_name(given: list[str], found: list[str], several: bool) -> None:
    assert find_inputs(given) == Inputs(found, several)


def test_a_list_names_inputs_beside_it() -> None:
    Path("in/list.txt").write_text(
        "# cameras\n\n3.mp4\n  rtsp://host/a  \n0\n../[0-9]*.mp4\n" + os.path.abspath("2.mp4")
    )
    expected = ["in/3.mp4", "rtsp://host/a", "0", "in/../2.mp4", "in/../10.mp4", os.path.abspath("2.mp4")]
    assert find_inputs(["in/list.txt"]) == Inputs(expected, True)
    Path("one.txt").write_text("2.mp4")
    assert find_inputs(["one.txt"]) == Inputs(["2.mp4"], True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["*.avi"], r"\*\.avi: no file has a name of this pattern"),
        (["empty.txt"], r"empty\.txt: this list names no input"),
        (["pattern.txt"], "no file has a name"),
        (["nested.txt"], r"nested\.txt: it names another list, empty\.txt"),
        (["ftp://host/*.mp4"], "addresses of ftp: are not read"),
    ],
)
def test_what_names_nothing(given: list[str], words: str) -> None:
    Path("empty.txt").write_text("# nothing\n")
    Path("pattern.txt").write_text("*.avi\n")
    Path("nested.txt").write_text("empty.txt\n")
    with pytest.raises(VideoError, match=words):
        find_inputs(given)


def test_standard_input_is_read_once() -> None:
    with pytest.raises(UsageError, match="given 2 times"):
        find_inputs(["-", "2.mp4", "-"])


def test_outputs_have_the_names_of_their_inputs_and_no_two_the_same() -> None:
    given = {
        "2.mp4": "2",
        "in/2.mkv": "2-2",
        "in": "in",
        "IN.avi": "IN-2",
        "rtsp://me:secret@10.0.0.5:554/stream1?token=x": "10.0.0.5-554-stream1",
        "http://host/a/../../b:c.mp4": "host-a-..-..-b-c.mp4",
        "camera:1": "camera-1",
        "-": "stdin",
        "/": "root",
    }
    assert output_names(given) == list(given.values())
    assert not any("/" in name or len(name.encode()) > 255 for name in output_names([f"http://h/{'x' * 400}"]))


def test_images_together_are_as_those_of_a_folder() -> None:
    names = ["b.png", "a.png", "c.gif"]
    for name in names:
        Image.new("RGB", (40, 30)).save(name)
    assert all(map(is_still, names))
    given = InputFile(names[0], further=names[1:])
    assert [frame.name for frame in read_video(given, (32, 32))] == names
    assert str(given) == "b.png and 2 more"


def test_what_is_a_still_picture() -> None:
    pictures = [Image.new("RGB", (40, 30), (shade, 0, 0)) for shade in (0, 200)]
    pictures[0].save("film.gif", save_all=True, append_images=pictures[1:])
    Path("clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert [is_still(name) for name in ("film.gif", "clip.mp4", "in", "none.png", "0", "rtsp://h/a.png")] == [False] * 6
