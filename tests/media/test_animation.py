from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vpp_deploy.media import read_video
from vpp_deploy.media.pillow import missing_decoder

SIZE = (32, 32)
FILMS = [
    ".gif",
    ".png",
    ".webp",
    pytest.param(".avif", marks=pytest.mark.skipif(missing_decoder("AVIF") is not None, reason="no AVIF decoder")),
]


def film(path: Path, durations: list[int], **options: object) -> Path:
    pictures = [Image.new("RGB", (40, 30), (60 * number, 0, 0)) for number in range(len(durations))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, **options)
    return path


@pytest.mark.parametrize("suffix", FILMS)
def test_a_film_is_a_video_in_all_formats(tmp_path: Path, suffix: str) -> None:
    reader = read_video(film(tmp_path / f"film{suffix}", [100, 50, 50, 200]), SIZE)
    assert (reader.frame_count, reader.original_size) == (4, (30, 40))
    frames = list(reader)
    assert [frame.time for frame in frames] == [Fraction(time, 1000) for time in (0, 100, 150, 200)]
    assert {frame.name for frame in frames} == {""}
    for number, frame in enumerate(frames):
        assert abs(int(frame.original[5, 5, 0]) - 60 * number) < 8
    assert (reader.problem, reader.notes) == (None, ())


@pytest.mark.parametrize("suffix", FILMS)
def test_of_a_film_among_images_the_first_picture_counts_and_it_is_said(tmp_path: Path, suffix: str) -> None:
    film(tmp_path / f"2{suffix}", [50, 50])
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    reader = read_video(tmp_path, SIZE)
    assert [frame.name for frame in reader] == ["1.png", f"2{suffix}"]
    (note,) = reader.notes
    assert note == f"{tmp_path}: 2{suffix}: more pictures or pages than one, of which the first alone counts"


def test_of_pages_the_first_counts_and_it_is_said(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (40, 30)), Image.new("RGB", (20, 10))]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    reader = read_video(tmp_path / "pages.tif", SIZE)
    assert [frame.original_size for frame in reader] == [(30, 40)]
    assert len(reader.notes) == 1


def test_a_film_without_durations_still_has_times_that_grow(tmp_path: Path) -> None:
    times = [frame.time for frame in read_video(film(tmp_path / "film.gif", [0, 0, 0]), SIZE)]
    assert times == [0, Fraction(1, 10), Fraction(2, 10)]


@pytest.mark.parametrize("key", ["duration", "transparency", "loop", "exif"])
def test_a_text_with_the_name_of_a_property_is_only_a_text(tmp_path: Path, key: str) -> None:
    texts = PngInfo()
    texts.add_text(key, "forty")
    path = film(tmp_path / "film.png", [40, 40], pnginfo=texts)
    assert len(list(read_video(path, SIZE))) == 2


def test_the_picture_in_front_of_a_png_film_is_not_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    pictures = [Image.new("RGB", (40, 30), (0, 80 * number, 0)) for number in range(3)]
    pictures[0].save(path, save_all=True, default_image=True, append_images=pictures[1:], duration=50)
    greens = [int(frame.original[5, 5, 1]) for frame in read_video(path, SIZE)]
    assert greens == [80, 160]


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_film_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 30, 40, 3), np.uint8)
    pictures = [Image.fromarray(picture) for picture in noise]
    path = tmp_path / "film.png"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    reader = read_video(path, SIZE)
    frames = list(reader)
    assert 6 * share - 2 < len(frames) < 6
    np.testing.assert_array_equal(frames[0].original, noise[0])
    assert reader.problem is not None
    assert "damaged or cut short" in reader.problem
