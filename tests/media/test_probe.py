from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.clips import write_clip, write_streams
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.input_file import InputFile

SIZE = (32, 32)


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path, format="PNG")
    return path


def refused(path: Path | str) -> str:
    with pytest.raises(VideoError) as caught:
        read_video(path, SIZE)
    return str(caught.value)


def test_a_file_whose_name_looks_like_a_url_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("rtsp:/host/a.png"))
    assert read_video("rtsp:/host/a.png", SIZE).original_size == (20, 30)


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("a.png"))
    with pytest.raises(UsageError, match="empty name"):
        read_video("", SIZE)
    assert len(list(read_video(".", SIZE))) == 1


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0b"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path / name)
    assert "cannot be read" in message or "no such file" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a"])
def test_fifos_and_sockets_are_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / name)
    assert "not a regular file" in refused(folder / name)
    assert "no images" in refused(folder)
    save(folder / "sound.png")
    reader = read_video(folder, SIZE)
    assert [frame.name for frame in reader] == ["sound.png"]
    assert "left out 1 that are no regular files" in reader.notes[0]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.png"))
        assert "not a regular file" in refused(tmp_path / "s.png")


def test_what_lies_beside_the_images_of_a_folder_is_counted(tmp_path: Path) -> None:
    for name in ("1.png", "2.jpg"):
        save(tmp_path / name)
    assert read_video(tmp_path, SIZE).notes == ()
    for name in ("a.txt", "b.txt", "c.TXT", "d.mov", "e.mov", "README", ".hidden"):
        (tmp_path / name).write_text("not an image")
    (tmp_path / "labels").mkdir()
    reader = read_video(tmp_path, SIZE)
    assert len(list(reader)) == 2
    assert reader.notes == (f"{tmp_path}: left out 3 .txt, 2 .mov, 1 without extension, 1 more",)


def test_class_folders_are_named(tmp_path: Path) -> None:
    for name in ("cat", "dog", "eel", "fox"):
        save(tmp_path / name / "1.png")
    message = refused(tmp_path)
    assert "no images in this folder itself, but folders (cat, dog, eel, …)" in message
    assert "give one of them" in message


@pytest.mark.parametrize("name", ["a.mp4", "Zürich.mp4", "folder/a.mp4", "loop.mp4"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    link = tmp_path / name.partition("/")[0]
    leads = link if name == "loop.mp4" else tmp_path / "away"
    link.symlink_to(leads)
    which = "it" if link == path else str(link)
    assert f"{which} is a link to {leads}, which is not there" in refused(path)


@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_accents_in_another_form_are_named(tmp_path: Path, there: str) -> None:
    asked = "NFD" if there == "NFC" else "NFC"
    save(tmp_path / unicodedata.normalize(there, "Zürich.png"))
    path = tmp_path / unicodedata.normalize(asked, "Zürich.png")
    if path.exists():
        pytest.skip("this file system takes both forms for one name")
    assert f"accents in the form {there}" in refused(path)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", "a\u2028b".encode(), b"100%d", b"a:b", b" "])
def test_any_name_is_read(tmp_path: Path, name: bytes) -> None:
    try:
        picture = save(tmp_path / "folder" / os.fsdecode(name + b".png"))
    except OSError:
        pytest.skip("this file system has no such names")
    clip = write_clip(tmp_path / "clip.mp4", frames=2).rename(tmp_path / os.fsdecode(name + b".mp4"))
    assert len(list(read_video(clip, SIZE))) == 2
    assert len(list(read_video(picture, SIZE))) == 1
    assert [frame.name for frame in read_video(picture.parent, SIZE)] == [picture.name]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".flv"])
@pytest.mark.parametrize("name", ["clip.jpg", "clip.PNG", "clip"])
def test_a_video_with_the_name_of_a_picture_is_a_video(tmp_path: Path, suffix: str, name: str) -> None:
    path = write_streams(tmp_path / f"real{suffix}", [(5, (32, 48), 0)]).rename(tmp_path / name)
    assert len(list(read_video(path, SIZE))) == 5


def test_images_have_no_streams_to_choose_from(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(UsageError, match="leave stream 1 out"):
            read_video(InputFile(path, stream=1), SIZE)


@pytest.mark.parametrize("count", [2**63, 10**30])
def test_more_frames_than_can_be_counted_are_refused(tmp_path: Path, count: int) -> None:
    save(tmp_path / "a.png")
    assert len(list(read_video(tmp_path, SIZE, max_frames=2**63 - 1))) == 1
    with pytest.raises(UsageError, match=f"max_frames is {count}"):
        read_video(tmp_path, SIZE, max_frames=count)
