"""Where an overlay goes by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.clips import write_clip
from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.media.overlay_output import OverlayOutput

SIZE = (32, 32)


def copied(source: Path, target: Path, max_frames: int | None = None) -> None:
    reader = read_video(source, SIZE, max_frames=max_frames)
    with OverlayOutput(target, reader, reader.original_size) as output:
        for frame in reader:
            output.write(frame, frame.original)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=3)


def test_a_video_a_folder_and_a_picture(tmp_path: Path, clip: Path) -> None:
    copied(clip, tmp_path / "copy.mkv")
    assert len(list(read_video(tmp_path / "copy.mkv", SIZE))) == 3
    copied(clip, tmp_path / "frames")
    assert [frame.name for frame in read_video(tmp_path / "frames", SIZE)] == [f"frame_{n:06}.png" for n in range(3)]
    (tmp_path / "has.png").mkdir()
    copied(clip, tmp_path / "has.png")
    assert len(list((tmp_path / "has.png").glob("*.png"))) == 3
    for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp"):
        copied(clip, tmp_path / f"one{suffix}", max_frames=1)
        assert Image.open(tmp_path / f"one{suffix}").size == (64, 48)
    expected = next(read_video(clip, SIZE)).original
    assert np.array_equal(np.asarray(Image.open(tmp_path / "one.png")), expected)


def test_one_picture_of_many_frames_is_refused_and_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(VideoError, match=r"one\.png: one picture, and the input has more frames"):
        copied(clip, tmp_path / "one.png")
    assert list(tmp_path.iterdir()) == [clip]


def test_other_names(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write \.gif; use \.mkv, \.mov, \.mp4 for a video"):
        copied(clip, tmp_path / "x.gif")
    with pytest.raises(OutputError, match="not a folder that exists"):
        copied(clip, tmp_path / "none" / "x.png")
