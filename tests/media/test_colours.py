from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from tests.media.clips import write_clip
from vpp_deploy.errors import VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.colours import remarks, source_matrix, unconvertible_matrix

BT709, UNTAGGED, RESERVED, BT601 = 1, 2, 3, 6


def first(path: Path) -> tuple[np.ndarray, list[str]]:
    reader = read_video(path, (32, 32))
    return next(reader).original, list(reader.notes)


@pytest.mark.parametrize(
    ("height", "taken_for"), [(48, BT601), (576, BT601), (718, BT601), (720, BT709), (1080, BT709)]
)
def test_untagged_video_has_the_colours_that_are_usual_for_its_height(
    tmp_path: Path, height: int, taken_for: int
) -> None:
    """One bit stream, told in two ways what its colours are, and not told."""
    size = (height, 64)
    tagged, notes = first(write_clip(tmp_path / "tagged.mkv", frames=1, size=size, matrix=taken_for))
    assert notes == []
    untagged, notes = first(write_clip(tmp_path / "untagged.mkv", frames=1, size=size))
    np.testing.assert_array_equal(untagged, tagged)
    assert [("BT.709" in note) for note in notes] == ([True] if taken_for == BT709 else [])


@pytest.mark.parametrize(
    ("matrix", "name"), [(8, "YCgCo"), (10, "constant luminance"), (11, "2085"), (12, "chromaticity"), (14, "ICtCp")]
)
def test_a_matrix_that_cannot_be_converted_is_named(tmp_path: Path, matrix: int, name: str) -> None:
    with pytest.raises(VideoError, match=rf"its colour matrix is .*{name}.*tag is wrong, correct it") as caught:
        first(write_clip(tmp_path / "clip.mkv", frames=1, matrix=matrix))
    assert "pixel format" not in str(caught.value)


@pytest.mark.parametrize("matrix", [BT709, 4, 5, BT601, 7, 9])
def test_every_other_matrix_is_converted(tmp_path: Path, matrix: int) -> None:
    image, notes = first(write_clip(tmp_path / "clip.mkv", frames=1, matrix=matrix))
    assert image[2, 2, 0] > 180
    assert notes == []


@pytest.mark.parametrize(("transfer", "curve"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_said_once(tmp_path: Path, transfer: int, curve: str) -> None:
    reader = read_video(write_clip(tmp_path / "clip.mkv", frames=5, matrix=9, transfer=transfer), (32, 32))
    assert len(list(reader)) == 5
    (note,) = reader.notes
    assert f"high dynamic range ({curve})" in note


@pytest.mark.parametrize("height", [48, 1080])
@pytest.mark.parametrize("tag", [0, UNTAGGED, RESERVED])
def test_a_reserved_tag_tells_as_little_as_none(height: int, tag: int) -> None:
    """VP9 has such a value; FFmpeg's scaler refuses it."""
    frame = av.VideoFrame(64, height, "yuv420p")
    frame.colorspace = tag
    matrix = source_matrix(frame)
    assert matrix == (Colorspace.ITU709 if height >= 720 else Colorspace.ITU601)
    assert frame.to_ndarray(format="rgb24", src_colorspace=matrix, dst_colorspace=matrix).shape == (height, 64, 3)
    assert unconvertible_matrix(frame) is None


@pytest.mark.parametrize("pixels", ["rgb24", "gbrp", "gray", "gray10le", "pal8", "xyz12le"])
def test_what_has_no_matrix_needs_none(pixels: str) -> None:
    frame = av.VideoFrame(64, 1080, pixels)
    frame.colorspace = UNTAGGED
    assert source_matrix(frame) is None
    assert list(remarks(frame)) == []
