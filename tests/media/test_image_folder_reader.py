from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vpp_deploy.errors import VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.image_folder_reader import natural_order


def save(path: Path, grey: int = 0, size: tuple[int, int] = (20, 30), **options: object) -> Path:
    Image.fromarray(np.full((*size, 3), grey, np.uint8)).save(path, **options)
    return path


def test_images_come_in_natural_order_with_their_names(tmp_path: Path) -> None:
    names = ["frame1.png", "frame2.bmp", "Frame10.PNG", "frame11.webp", "frame100.jpg", "frame101.jpeg"]
    for number, name in enumerate(names):
        save(tmp_path / name, grey=number * 40)
    save(tmp_path / "._frame3.png")
    (tmp_path / "notes.txt").write_text("not an image")
    reader = read_video(tmp_path, (32, 32))
    assert (reader.frame_count, reader.frame_rate, reader.time_base) == (6, None, None)
    frames = list(reader)
    assert [frame.name for frame in frames] == names
    assert [frame.time for frame in frames] == [None] * 6
    assert [frame.index for frame in frames] == list(range(6))
    for number, frame in enumerate(frames):
        assert abs(int(frame.original.mean()) - number * 40) <= 2


def test_natural_order_is_total_for_mixed_names() -> None:
    names = ["a", "1", "a1", "1a", "a01", "A1", "", "10", "9", "a1b2", "a1b10", "²"]
    ordered = sorted(names, key=natural_order)
    assert ordered.index("9") < ordered.index("10")
    assert ordered.index("a1b2") < ordered.index("a1b10")


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image = np.zeros((20, 30, 3), np.uint8)
    image[:8, :8] = 255
    Image.fromarray(image).save(tmp_path / "1.jpg", exif=exif, quality=95)
    frame = next(read_video(tmp_path, (32, 32)))
    assert frame.original.shape == (30, 20, 3)
    assert frame.original[2, -3].min() > 200
    assert frame.original[2, 2].max() < 50


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "LA"])
def test_every_eight_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (30, 20), (255, 255, 255)).convert(mode).save(tmp_path / f"1.{suffix}")
    frame = next(read_video(tmp_path, (32, 32)))
    assert frame.original.shape == (20, 30, 3)
    assert frame.original.min() >= 250


def test_sixteen_bit_images_are_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(VideoError, match=r"1\.png: more than 8 bits"):
        read_video(tmp_path, (32, 32))


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for number in range(3):
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[: len(data) // 2])
    reader = read_video(tmp_path, (32, 32))
    next(reader)
    with pytest.raises(VideoError, match=r"1\.png: not a readable image"):
        next(reader)
    assert list(reader) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"\xff\xd8\xff" + b"\0" * 40])
def test_files_that_are_no_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(VideoError, match=r"1\.png: not a readable image"):
        read_video(tmp_path, (32, 32))


def test_all_images_must_have_one_size(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    save(tmp_path / "2.png", size=(20, 31))
    with pytest.raises(VideoError, match=r"frame 1 \(2\.png\) is 20x31 .* before it are 20x30"):
        list(read_video(tmp_path, (32, 32)))
