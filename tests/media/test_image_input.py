"""A picture however a program has it becomes the same pixels, or one line says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_array_equal
from PIL import Image

from vpp_deploy.errors import OutputError, UsageError, VideoError
from vpp_deploy.media.image_input import check_pictures, to_pixels
from vpp_deploy.media.picture_writer import KINDS, write_picture

PICTURES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])))


@given(PICTURES)
def test_every_form_of_a_picture_gives_its_colours(picture: np.ndarray) -> None:
    channels = picture.shape[2]
    expected = picture.repeat(3, axis=2) if channels == 1 else picture[:, :, :3]
    assert_array_equal(to_pixels(picture), expected)
    assert_array_equal(to_pixels(np.asfortranarray(picture)), expected)
    assert_array_equal(to_pixels(picture[:, :, ::-1] if channels == 3 else picture, bgr=channels == 3), expected)
    image = Image.fromarray(picture[:, :, 0] if channels == 1 else picture)
    assert_array_equal(to_pixels(image), expected)
    if channels == 1:
        assert_array_equal(to_pixels(picture[:, :, 0]), expected)
    assert to_pixels(picture).flags.c_contiguous


def test_tensors_and_files_are_pictures_too(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert_array_equal(to_pixels(torch.from_numpy(pixels)), pixels)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert_array_equal(to_pixels(tmp_path / "a.png"), pixels)
    assert_array_equal(to_pixels(str(tmp_path / "a.png")), pixels)


def test_an_image_of_pillow_is_turned_as_its_exif_says() -> None:
    image = Image.fromarray(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3))
    image.getexif()[0x0112] = 6
    assert_array_equal(to_pixels(image), np.rot90(np.array(image), -1))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((4, 4, 3)), r"float64 \[4, 4, 3\]: give uint8, .*255"),
        (np.zeros((3, 5, 6), np.uint8), r"uint8 \[3, 5, 6\]: give \[H, W, 3\]; channels come last"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\[2, 4, 4, 3\]: give \[H, W, 3\]; several come one by one$"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (np.zeros((4, 4, 2), np.uint8), r"\[4, 4, 2\]"),
        ([[1, 2], [3]], "a picture as list cannot become an array"),
        (None, "a picture as NoneType is none; give"),
        (object(), "a picture as object is none; give"),
    ],
)
def test_what_is_no_picture_is_named(picture: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        to_pixels(picture)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none_is_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        to_pixels(tmp_path / "missing.png")


@pytest.mark.parametrize("suffix", KINDS)
def test_a_picture_is_written_as_its_name_says(suffix: str, tmp_path: Path) -> None:
    pixels = np.full((6, 8, 3), 200, np.uint8)
    write_picture(pixels, tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.format == KINDS[suffix]
        assert np.abs(np.array(image.convert("RGB")).astype(int) - 200).max() < 4
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [("a.gif", (2, 2, 3), "'.gif' is none of .bmp"), ("a", (2, 2, 3), "''"), ("a.jpg", (70_000, 1, 3), "70000x1")],
)
def test_a_picture_that_cannot_be_written_leaves_nothing(
    name: str, shape: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=words):
        write_picture(np.zeros(shape, np.uint8), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((6, 8, 3), np.uint8), r"one picture, \[6, 8, 3\]: use model"),
        (np.zeros((6, 8, 4), np.uint8), "one picture"),
        (np.zeros((6, 8), np.uint8), "one picture"),
        (np.zeros((3, 6, 8), np.uint8), "channels first or 3 grey ones"),
        (Image.new("RGB", (8, 6)), "one picture, an image of Pillow"),
        (None, "of type NoneType"),
        (b"video.mp4", "of type bytes"),
    ],
)
def test_one_picture_is_not_taken_for_several(source: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_pictures(source)


@pytest.mark.parametrize("shape", [(5, 6, 8, 3), (3, 6, 8, 3), (5, 6, 8), (0, 6, 8, 3)])
def test_an_array_of_pictures_and_whatever_one_can_go_through_is_several(shape: tuple[int, ...]) -> None:
    pictures = np.zeros(shape, np.uint8)
    for source in (pictures, list(pictures), iter(pictures), tuple(pictures[:3])):
        check_pictures(source)
