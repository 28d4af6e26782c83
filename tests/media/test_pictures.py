from __future__ import annotations

import os
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.media.clips import write_jpegs
from vpp_deploy.errors import DependencyError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.kinds import IMAGE_SUFFIXES, picture_kind
from vpp_deploy.media.pictures import _rgb
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS, missing_decoder

SIZE = (32, 32)
GRID = Path(__file__).with_name("grid.avif")
"""1024x1024 in tiles of 512x512, as `avifenc --grid 2x2` writes it: the top left tile is red, the others are green."""
ORIENTATIONS = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
"""Where the top left corner of the stored picture is shown."""

needs_avif = pytest.mark.skipif(missing_decoder("AVIF") is not None, reason="this Pillow has no AVIF decoder")


def red_corner() -> Image.Image:
    image = Image.new("RGB", (64, 48), (40, 40, 40))
    image.paste((220, 20, 20), (0, 0, 20, 16))
    return image


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF with entries of tag, type, count and value, right or wrong."""
    table = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)


def oriented(orientation: int) -> tuple[int, int, int, bytes]:
    return 0x0112, 3, 1, struct.pack("<HH", orientation, 0)


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    (image or red_corner()).save(path, **options)
    return path


def jpeg(path: Path, metadata: bytes = b"") -> Path:
    return save(path, format="JPEG", quality=95, subsampling=0, exif=metadata)


def what_is_wrong(path: Path) -> str:
    try:
        for frame in read_video(path, SIZE, max_pixels=100_000):
            assert frame.original.dtype == np.uint8
    except VideoError as error:
        return str(error)
    return ""


def red_corners(image: np.ndarray) -> set[tuple[int, int]]:
    corners = [(row, column) for row in (0, -1) for column in (0, -1)]
    return {corner for corner in corners if image[corner][0] > 180 and image[corner][1] < 70}


def only(path: Path) -> tuple[np.ndarray, list[str]]:
    reader = read_video(path, SIZE)
    (frame,) = reader
    return frame.original, list(reader.notes)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".jpg", ".jfif", "", ".tif", ".png", ".webp", ".mjpeg", ".avi", ".mov", ".mkv"])
def test_a_picture_is_turned_once_wherever_its_orientation_stands(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / f"picture{suffix}"
    metadata = exif((0x010F, 2, 4, b"Cam\0"), oriented(orientation))
    if suffix in (".tif", ".png", ".webp"):
        save(path, exif=metadata, **({"lossless": True} if suffix == ".webp" else {}))
    else:
        photo = jpeg(tmp_path / "photo.jpeg", metadata).read_bytes()
        if suffix in (".avi", ".mov", ".mkv"):
            write_jpegs(path, [photo])
        else:
            path.write_bytes(photo)
    image, _ = only(path)
    assert image.shape[:2] == ((48, 64) if orientation < 5 else (64, 48))
    assert red_corners(image) == {ORIENTATIONS[orientation]}


def test_a_container_and_a_camera_that_both_turn_a_picture_turn_it_once(tmp_path: Path) -> None:
    photo = jpeg(tmp_path / "photo.jpg", exif(oriented(6))).read_bytes()
    image, _ = only(write_jpegs(tmp_path / "clip.mov", [photo], rotation=-90))
    assert image.shape[:2] == (64, 48)
    assert red_corners(image) == {(0, -1)}


ODD_ENTRIES = [
    (0x0100, 2, 4, b"wid\0"),  # ImageWidth in letters
    (0x0102, 8, 1, struct.pack("<hh", -5, 0)),  # BitsPerSample below zero
    (0x0112, 2, 4, b"top\0"),
    (0x0112, 5, 1, struct.pack("<I", 0xFFFFFF)),
    (0x0112, 3, 2**31, b"\0\0\0\0"),
    (0x8769, 4, 1, struct.pack("<I", 8)),  # the EXIF folder is the folder that it is in
    (0x0111, 4, 2**30, b"\xff\xff\xff\xff"),
    (0xFFFF, 99, 1, b"\0\0\0\0"),
]


@pytest.mark.parametrize("entry", ODD_ENTRIES, ids=lambda entry: f"{entry[0]:x}-{entry[1]}-{entry[2]}")
def test_odd_metadata_is_no_reason_to_refuse_a_picture_nor_to_say_anything(
    tmp_path: Path, entry: tuple[int, int, int, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    before = warnings.filters[:]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        image, notes = only(jpeg(tmp_path / "photo.jpg", exif(oriented(1), entry)))
    assert red_corners(image) == {(0, 0)}
    assert notes == []
    assert capfd.readouterr().err == ""
    assert warnings.filters == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 61), junk=st.binary(min_size=1, max_size=8))
def test_no_byte_of_the_metadata_can_spoil_a_picture(tmp_path: Path, place: int, junk: bytes) -> None:
    metadata = bytearray(exif(oriented(6), *ODD_ENTRIES[:3], (0x8769, 4, 1, struct.pack("<I", 20))))
    metadata[6 + place : 6 + place + len(junk)] = junk
    image, _ = only(jpeg(tmp_path / "photo.jpg", bytes(metadata[:68])))
    assert len(red_corners(image)) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]), data=st.data())
def test_damaged_pictures_are_read_or_refused_in_one_line(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = save(tmp_path / "picture.png", format=kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content) - 1, 200)))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = what_is_wrong(path)
    assert message == "" or str(path) in message
    assert "\n" not in message


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Ghostscript is a shell script")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.eps", "a.ps", "a"])
@pytest.mark.parametrize(
    "content", [POSTSCRIPT, b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 90) + bytes(18) + POSTSCRIPT]
)
@pytest.mark.parametrize("folder", [False, True])
def test_no_picture_starts_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, folder: bool
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\necho > {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / name).write_bytes(content)
    with pytest.raises(VideoError):
        read_video(pictures if folder else pictures / name, SIZE)
    assert not ran.exists()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK", "LA", "PA", "YCbCr"])
def test_large_pictures_are_converted_in_bands_as_if_at_once(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 23, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    for band in (1, 23, 100, 10_000):
        monkeypatch.setattr("vpp_deploy.media.pictures._BAND", band)
        np.testing.assert_array_equal(_rgb(image), np.asarray(image.convert("RGB")))


@needs_avif
def test_a_picture_in_tiles_is_read_as_a_whole() -> None:
    image, notes = only(GRID)
    assert image.shape == (1024, 1024, 3)
    assert red_corners(image) == {(0, 0)}
    assert image[700, 700, 1] > 120
    assert notes == []


def test_a_heif_picture_is_read_as_a_whole_and_upright(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "photo.HEIC"
    heif.from_pillow(red_corner()).save(path, quality=95, exif=exif(oriented(6)))
    image, notes = only(path)
    assert image.shape[:2] == (64, 48)
    assert red_corners(image) == {(0, -1)}
    assert notes == []


def test_without_a_decoder_for_heif_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(DependencyError, match=r"photo\.heic: no decoder for HEIF .*pip install 'vpp-deploy\[heif\]'"):
        read_video(path, SIZE)
    with pytest.raises(VideoError, match=r"no images in this folder, but 1 \.heic; .*pip install"):
        read_video(tmp_path, SIZE)
    save(tmp_path / "a.png")
    (note,) = read_video(tmp_path, SIZE).notes
    assert "left out 1 .heic; to read .heic, pip install" in note


@pytest.mark.parametrize("tag", [(254, 1), (50706, b"\1\4\0\0")])
@pytest.mark.parametrize("name", ["photo.dng", "photo.tif", "photo"])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photo(
    tmp_path: Path, name: str, tag: tuple[int, object]
) -> None:
    path = save(tmp_path / name, format="TIFF", tiffinfo=dict([tag]))
    with pytest.raises(VideoError, match="raw file, of which only the preview could be read"):
        read_video(path, SIZE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("name", ["picture", "picture.bin", "picture.jpg", "picture.mp4"])
def test_the_content_says_what_a_picture_is(tmp_path: Path, kind: str, name: str) -> None:
    path = save(tmp_path / name, format=kind)
    assert picture_kind(path.read_bytes()) == kind
    image, _ = only(path)
    assert red_corners(image) == {(0, 0)}


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".tif"])
@pytest.mark.parametrize("grey", [False, True])
def test_sixteen_bits_are_treated_alike_in_all_formats(tmp_path: Path, suffix: str, grey: bool) -> None:
    path = deep_picture(tmp_path / f"deep{'.pgm' if grey and suffix == '.ppm' else suffix}", grey)
    if grey:
        with pytest.raises(VideoError, match="more than 8 bits per channel in grey"):
            read_video(path, SIZE)
        return
    image, (note,) = only(path)
    assert np.abs(image.astype(int) - 0xAB).max() <= 1
    assert "more than 8 bits per channel, of which the upper 8 count" in note


def deep_picture(path: Path, grey: bool) -> Path:
    """A flat picture of 0xAB00 and, of colour, three channels, written by FFmpeg's encoders."""
    import av

    codec = {".png": "png", ".ppm": "ppm", ".pgm": "pgm", ".tif": "tiff"}[path.suffix]
    order = "le" if codec == "tiff" else "be"
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = 40, 30
    context.pix_fmt = f"gray16{order}" if grey else f"rgb48{order}"
    context.time_base = Fraction(1)
    pixels = np.full((30, 40) if grey else (30, 40, 3), 0xAB00, np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, format="gray16le" if grey else "rgb48le").reformat(
        format=context.pix_fmt
    )
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".gif"])
def test_hidden_colours_are_said_in_all_formats(tmp_path: Path, suffix: str) -> None:
    clear, opaque = Image.new("RGBA", (40, 30), (10, 200, 30, 0)), Image.new("RGBA", (40, 30), (10, 200, 30, 255))
    image, (note,) = only(save(tmp_path / f"clear{suffix}", clear))
    assert "transparent in places" in note
    assert image.shape == (30, 40, 3)
    _, notes = only(save(tmp_path / f"opaque{suffix}", opaque))
    assert notes == []


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".gif", ".jpg", ".bmp"])
def test_a_picture_beyond_the_limit_says_how_to_raise_it(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"large{suffix}", Image.new("RGB", (100, 80)))
    assert read_video(path, SIZE, max_pixels=8000).original_size == (80, 100)
    with pytest.raises(VideoError, match=r"8000 pixels are more than the limit of 7999; .*--max-pixels 8000"):
        read_video(path, SIZE, max_pixels=7999)


def test_a_panorama_beyond_pillows_own_limit_is_read_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit is lowered here to spare memory: what counts is who is obeyed."""
    path = save(tmp_path / "panorama.png", Image.new("RGB", (400, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(VideoError, match=r"40000 pixels are more than .*--max-pixels 40000"):
        read_video(path, SIZE, max_pixels=30_000)
    assert read_video(path, SIZE, max_pixels=40_000).original_size == (100, 400)
    assert Image.MAX_IMAGE_PIXELS == 4000
    assert DEFAULT_MAX_PIXELS > 8000


def test_pictures_are_read_in_threads_and_settings_come_back(tmp_path: Path) -> None:
    paths = [jpeg(tmp_path / f"{number}.jpg", exif(*ODD_ENTRIES[:2])) for number in range(40)]
    before, limit = warnings.filters[:], Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        corners = list(pool.map(lambda path: red_corners(only(path)[0]), paths))
    assert corners == [{(0, 0)}] * 40
    assert (warnings.filters, limit) == (before, Image.MAX_IMAGE_PIXELS)


def test_names_of_pictures_are_those_that_pillow_knows() -> None:
    Image.init()
    known = Image.registered_extensions()
    extra = {".avif", ".heic", ".heif", ".hif"}
    assert {known[suffix] for suffix in IMAGE_SUFFIXES if suffix not in extra} == {
        *("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
    }
