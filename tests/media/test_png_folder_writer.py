from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.media import PictureFolderWriter
from vpp_deploy.media.png_folder_writer import LIST_FILE


def picture(grey: int = 0) -> np.ndarray:
    return np.full((4, 6, 3), grey, np.uint8)


def write(path: Path, *names: str) -> None:
    with PictureFolderWriter(path) as writer:
        for number, name in enumerate(names):
            writer.write(picture(number), name)


def write_and_fail(writer: PictureFolderWriter) -> None:
    with writer:
        writer.write(picture(9), "a.png")
        raise FileNotFoundError


def pictures(path: Path) -> dict[str, int]:
    return {file.name: int(np.array(Image.open(file))[0, 0, 0]) for file in sorted(path.glob("*.png"))}


def test_pictures_are_named_after_their_sources_and_none_is_lost(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, "a.jpg", "a.png", "A.bmp", "b.c.webp", "frame_7")
    assert pictures(target) == {"a.png": 0, "a.png.png": 1, "A.bmp.png": 2, "b.c.png": 3, "frame_7.png": 4}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_the_folder_appears_when_it_is_complete_and_not_after_an_error(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with PictureFolderWriter(target) as writer:
        writer.write(picture(), "a.png")
        assert not target.exists()
    with pytest.raises(FileNotFoundError):
        write_and_fail(PictureFolderWriter(target))
    assert pictures(target) == {"a.png": 0}
    assert list(tmp_path.iterdir()) == [target]


def test_what_an_earlier_run_wrote_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    write(target, "a.png", "b.png")
    write(target, "c.png")
    assert pictures(target) == {"c.png": 0}


@pytest.mark.parametrize("ours", [True, False])
def test_a_folder_with_files_of_others_is_left_alone(tmp_path: Path, ours: bool) -> None:
    target = tmp_path / "out"
    if ours:
        write(target, "a.png")
    else:
        target.mkdir()
    (target / "mine.png").write_text("precious")
    before = sorted(file.name for file in target.iterdir())
    with pytest.raises(OutputError, match="holds other files, so it is not replaced"):
        PictureFolderWriter(target)
    assert sorted(file.name for file in target.iterdir()) == before
    assert list(tmp_path.iterdir()) == [target]


def test_files_that_appear_meanwhile_are_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out"
    writer = PictureFolderWriter(target)
    writer.write(picture(), "a.png")
    target.mkdir()
    (target / "mine.png").write_text("precious")
    with pytest.raises(OutputError, match="holds other files"):
        writer.close()
    assert (target / "mine.png").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="this is a file"):
        PictureFolderWriter(tmp_path / "file")
    with pytest.raises(OutputError, match="not a folder that exists"):
        PictureFolderWriter(tmp_path / "none" / "out")
    with pytest.raises(VideoError, match="no picture was written"):
        write(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


NAMES = [
    "a\nb.jpg",
    "\u2028.jpg",
    os.fsdecode(b"\xff\xfe.jpg"),
    "n" * 251 + ".jpg",
    "é" * 125 + ".jpg",
    '"".jpg',
    ".jpg",
]


def test_names_of_every_kind_are_written_and_known_again(tmp_path: Path) -> None:
    for target in (tmp_path / "out", tmp_path / os.fsdecode(b"\xff"), tmp_path / ("n" * 255), tmp_path / "a\nb"):
        for number in range(2):
            write(target, *NAMES, *NAMES[number:])
            assert len(list(target.iterdir())) == 2 * len(NAMES) - number + 1
        (target / "mine").touch()
        with pytest.raises(OutputError, match="holds other files"):
            PictureFolderWriter(target)


def test_the_list_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, "a.png", "b.png")
    (target / LIST_FILE).write_text("a.png\nb.png\n")
    write(target, "c.png")
    assert pictures(target) == {"c.png": 0}


def test_a_folder_or_a_link_is_never_a_picture_of_ours(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, "a.png", "b.png")
    (target / "a.png").unlink()
    (target / "a.png").mkdir()
    with pytest.raises(OutputError, match="holds other files"):
        PictureFolderWriter(target)
