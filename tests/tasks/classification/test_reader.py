from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bundle.classifier_factory import CLIP, HEIGHT, WIDTH, make_classifier
from tests.media.clips import write_clip
from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media import read_video
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.resize import resize_and_crop


@pytest.fixture
def manifest(tmp_path: Path) -> ClassificationManifest:
    return ClassificationManifest.of(make_classifier(tmp_path / "images.bundle").manifest, "a test")


@pytest.fixture
def clip_manifest(tmp_path: Path) -> ClassificationManifest:
    return ClassificationManifest.of(make_classifier(tmp_path / "clips.bundle", clip=CLIP).manifest, "a test")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate([(40, 50), (70, 33), (32, 48)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_pictures_of_several_sizes_are_resized_for_the_model(manifest: ClassificationManifest, photos: Path) -> None:
    frames = list(read_pictures(photos, manifest))
    assert [frame.name for frame in frames] == ["0.png", "1.png", "2.png"]
    assert [frame.original_size for frame in frames] == [(40, 50), (70, 33), (32, 48)]
    for frame in frames:
        expected, _ = resize_and_crop(frame.original, (HEIGHT, WIDTH), manifest.preprocessing)
        np.testing.assert_array_equal(frame.image, expected)
        assert frame.content_size == (HEIGHT, WIDTH)


def test_a_single_image(manifest: ClassificationManifest, photos: Path) -> None:
    (frame,) = read_pictures(photos / "1.png", manifest)
    assert (frame.name, frame.original_size, frame.index, frame.time) == ("1.png", (70, 33), 0, None)
    (boxed,) = read_video(photos / "1.png", (64, 64))
    np.testing.assert_array_equal(boxed.original, frame.original)


def test_a_video_and_the_first_frames_of_it(manifest: ClassificationManifest, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    frames = list(read_pictures(clip, manifest, max_frames=3))
    assert [frame.image.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 3
    with pytest.raises(UsageError, match="max_frames is 0"):
        read_pictures(clip, manifest, max_frames=0)


def test_the_frames_of_clips_have_one_size(clip_manifest: ClassificationManifest, photos: Path) -> None:
    with pytest.raises(VideoError, match=r"frame 1 \(1\.png\) is 70x33"):
        list(read_pictures(photos, clip_manifest))


def test_a_broken_or_missing_image_is_named(manifest: ClassificationManifest, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"x\.jpg: not a readable image"):
        read_pictures(tmp_path / "x.jpg", manifest)
    with pytest.raises(VideoError, match=r"y\.jpg: no such file"):
        read_pictures(tmp_path / "y.jpg", manifest)
