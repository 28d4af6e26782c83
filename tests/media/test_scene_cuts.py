"""Hard cuts: found where scenes are joined, and not where things move, light changes or films have bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.media.clips import write_clip
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.frames import Frame
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.reader import read_video
from vpp_deploy.media.scene_cuts import CutDetector, Cuts, ListedCuts, open_cuts, read_cuts

Pictures = Sequence[npt.NDArray[np.uint8]]
SIZE = (128, 192)


def cuts(pictures: Pictures, detector: Cuts | None = None) -> list[int]:
    """The frames with which scenes begin, of pictures letterboxed into a model's size."""
    detector = detector or CutDetector()
    found = []
    for index, picture in enumerate(pictures):
        image, content = letterbox(picture, SIZE)
        image[content[0] :] = image[:, content[1] :] = index % 256  # padding is whatever it is
        if detector(Frame(image, content, picture, index)):
            found.append(index)
    return found


def scene(seed: int, frames: int = 6) -> list[npt.NDArray[np.uint8]]:
    return list(render_clip("val", seed, 0, frames=frames, size=(96, 160)).frames)


@pytest.mark.parametrize("seed", range(4))
def test_joined_clips_are_cut_where_they_are_joined(seed: int) -> None:
    assert cuts([*scene(10 * seed), *scene(10 * seed + 1), *scene(10 * seed + 2)]) == [6, 12]


@pytest.mark.parametrize("seed", range(4))
def test_a_shaking_camera_and_fast_objects_are_no_cut(seed: int) -> None:
    """The split `hard` has one cut, in the middle."""
    assert cuts(render_clip("hard", seed, 0, frames=16, size=SIZE).frames) == [8]


def test_a_fade_and_a_change_of_light_are_no_cut() -> None:
    still = scene(3, 1)[0].astype(np.float32)
    lights = [*np.linspace(1, 0, 12), *np.linspace(0, 1, 12), 0.5, 1.0, 0.3, 1.2]
    assert cuts([(still * light).clip(0, 255).astype(np.uint8) for light in lights]) == []


def test_black_bars_hide_no_cut_and_make_none() -> None:
    pictures = [np.pad(picture, ((24, 24), (0, 0), (0, 0))) for picture in [*scene(1), *scene(2)]]
    assert cuts(pictures) == [6]


def test_black_frames_are_alike_and_flat_ones_are_compared_by_colour() -> None:
    black, red, blue = (np.full((*SIZE, 3), colour, np.uint8) for colour in ((0, 0, 0), (200, 9, 9), (9, 9, 200)))
    assert cuts([black, black, black]) == []
    assert cuts([red, red]) == []
    assert cuts([red, scene(1, 1)[0], blue]) == [1, 2]


def test_films_are_searched_and_images_are_not(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4", frames=2)
    with read_video(film, SIZE) as reader:
        assert isinstance(open_cuts(None, reader), CutDetector)
        assert not isinstance(open_cuts("off", reader), CutDetector)
        with pytest.raises(UsageError, match="empty name"):
            open_cuts("", reader)
    folder = tmp_path / "images"
    folder.mkdir()
    from PIL import Image

    for number, picture in enumerate([scene(1, 1)[0], scene(2, 1)[0]]):
        Image.fromarray(picture).save(folder / f"{number}.png")
    for setting, expected in ((None, []), ("auto", [1])):
        with read_video(folder, SIZE) as reader:
            is_cut = open_cuts(setting, reader)
            assert [frame.index for frame in reader if is_cut(frame)] == expected


def test_a_file_lists_the_cuts(tmp_path: Path) -> None:
    path = tmp_path / "cuts.txt"
    path.write_bytes(b"0\r\n\n 2 \n5")
    assert read_cuts(path) == {0, 2, 5}
    assert cuts(scene(1), ListedCuts(read_cuts(path))) == [2, 5]


@pytest.mark.parametrize("line", [b"two", b"-1", b"1.5", b"3,4", b"\x1b[31m7", "‮7".encode(), b"9" * 16, b"\xff\xfe7"])
def test_a_line_that_is_no_frame_number_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "cuts.txt"
    path.write_bytes(b"3\n" + line + b"\n")
    with pytest.raises(VideoError, match=r"cuts\.txt, line 2: .* is not the number of a frame") as caught:
        read_cuts(path)
    assert str(caught.value).isprintable()


def test_a_word_in_other_letters_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with read_video(write_clip(tmp_path / "film.mp4", frames=2), SIZE) as reader:
        with pytest.raises(UsageError, match="'Auto': there is no such file, and the word is auto"):
            open_cuts("Auto", reader)
        Path("Auto").write_text("1")
        assert isinstance(open_cuts("Auto", reader), ListedCuts)


def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="list of scene cuts"):
        read_cuts(tmp_path / "none.txt")
    with pytest.raises(VideoError, match="not a regular file"):
        read_cuts(tmp_path)
