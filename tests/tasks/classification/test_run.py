"""Whole runs of a classifier: what is counted, what is written, and which clip a frame is drawn with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_infer import decoded
from tests.media.clips import cut, write_clip
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import OutputError, UsageError, VideoError
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.classification import overlay_writer as overlay
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay import overlay_size
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.run import ClassificationOutputs, run_classification
from vpp_deploy.tasks.classification.session import ClassificationSession
from vpp_deploy.tasks.common import PARTS
from vpp_deploy.tasks.overlay_style import OverlayStyle

BRIGHTNESS = {"night.jpg": 5, "fog.png": 128, "snow.png": 250}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for (name, brightness), size in zip(BRIGHTNESS.items(), [(60, 90), (90, 60), (64, 96)], strict=True):
        Image.fromarray(np.full((*size, 3), brightness, np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_pictures_of_several_sizes(images: Engine, photos: Path, tmp_path: Path) -> None:
    outputs = ClassificationOutputs(tmp_path / "seen", tmp_path / "labels.jsonl")
    done: list[tuple[int, int | None]] = []
    each: list[ClassificationResult] = []
    summary = run_classification(
        ClassificationSession(images, top=1),
        photos,
        outputs,
        progress=lambda *numbers: done.append(numbers),
        each=each.append,
    )
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert {line["name"]: line["labels"][0]["class"] for line in lines} == {
        "fog.png": "grey",
        "night.jpg": "dark",
        "snow.png": "bright",
    }
    assert [result.name for result in each] == [line["name"] for line in lines]
    strip = overlay_size((60, 60), USUAL_STYLE)[1] - 60
    widths = {file.stem: Image.open(file).size[0] for file in (tmp_path / "seen").glob("*.png")}
    assert widths == {"night": 90 + strip, "fog": 60 + strip, "snow": 96 + strip}
    assert (summary.frames, summary.samples, summary.original_size) == (3, 3, None)
    assert summary.keep_ratios == {"patches": 0.5}
    assert set(summary.seconds) == set(PARTS)
    assert all(seconds > 0 for seconds in summary.seconds.values())
    # Parts overlap, and writing with itself: lines are written while pictures are drawn.
    assert summary.wall_seconds >= max(seconds for part, seconds in summary.seconds.items() if part != "write")
    assert done[-1] == (3, 3)
    assert summary.problem is None


def test_a_single_picture_without_outputs(images: Engine, photos: Path) -> None:
    before = set(photos.parent.rglob("*"))
    summary = run_classification(ClassificationSession(images), photos / "fog.png")
    assert (summary.frames, summary.samples, summary.original_size) == (1, 1, (90, 60))
    assert set(photos.parent.rglob("*")) == before


def test_a_video_of_pictures_of_several_sizes_is_refused_without_a_trace(
    images: Engine, photos: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(VideoError, match=r"night\.jpg is 60x90 .* those before it are 90x60, and a video has one size"):
        run_classification(ClassificationSession(images), photos, ClassificationOutputs(tmp_path / "x.mp4"))
    assert set(tmp_path.rglob("*")) == before


def test_a_video_by_a_model_of_images(images: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    outputs = ClassificationOutputs(tmp_path / "seen.mkv", style=OverlayStyle(USUAL_STYLE.parts, header=False))
    summary = run_classification(ClassificationSession(images), clip, outputs, max_frames=3)
    assert (summary.frames, summary.samples, summary.original_size) == (3, 3, (48, 64))
    assert decoded(tmp_path / "seen.mkv") == [(48, 64)] * 3


@pytest.fixture
def drawn_with(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, ...]]:
    """The clip that each drawn frame was drawn with."""
    drawn: dict[int, tuple[int, ...]] = {}

    def draw(frame: Frame, result: ClassificationResult, manifest: object, style: OverlayStyle) -> np.ndarray:
        drawn[frame.index] = result.indices
        return np.zeros((*overlay_size(frame.original_size, style), 3), np.uint8)

    monkeypatch.setattr(overlay, "draw_classification", draw)
    return drawn


def test_every_frame_is_drawn_with_the_first_clip_that_contains_it(
    videos: Engine, tmp_path: Path, drawn_with: dict[int, tuple[int, ...]]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=14)
    outputs = ClassificationOutputs(tmp_path / "seen.mp4", tmp_path / "labels.jsonl")
    summary = run_classification(ClassificationSession(videos, hop=4), clip, outputs)
    assert (summary.frames, summary.samples) == (14, 3)
    first, second, third = (0, 2, 4, 6), (4, 6, 8, 10), (8, 10, 12, 13)
    assert drawn_with == (
        dict.fromkeys(range(7), first) | dict.fromkeys(range(7, 11), second) | dict.fromkeys(range(11, 14), third)
    )
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [tuple(line["indices"]) for line in lines] == [first, second, third]
    assert len(decoded(tmp_path / "seen.mp4")) == 14


def test_frames_between_clips_are_written_as_they_are(
    videos: Engine, tmp_path: Path, drawn_with: dict[int, tuple[int, ...]]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=19)
    run_classification(
        ClassificationSession(videos, hop=10), clip, ClassificationOutputs(tmp_path / "seen"), max_frames=18
    )
    assert sorted(drawn_with) == [*range(7), *range(10, 17)]
    names = sorted(file.name for file in (tmp_path / "seen").glob("*.png"))
    assert names == [f"frame_{index:06}.png" for index in range(18)]


def test_a_damaged_video_counts_as_far_as_it_goes(images: Engine, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mkv", frames=12, noise=True)
    summary = run_classification(ClassificationSession(images), cut(whole, 0.6))
    assert 3 < summary.frames < 12
    assert summary.problem is not None


def test_bad_outputs_are_told_before_the_first_image(
    images: Engine, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ClassificationSession(images)
    monkeypatch.setattr(session, "prepare", lambda batch: pytest.fail("an image was run"))
    before = set(tmp_path.rglob("*"))
    for outputs, error, message in [
        (ClassificationOutputs(photos), UsageError, "would overwrite .*, which is read"),
        (ClassificationOutputs(tmp_path), UsageError, "would overwrite .*, which is read"),
        (ClassificationOutputs(tmp_path / "x", tmp_path / "x"), UsageError, "another output"),
        (ClassificationOutputs(tmp_path / "x.gif"), OutputError, r"cannot write \.gif; use .* or a name without ext"),
        (ClassificationOutputs(tmp_path / "x", tmp_path / "none" / "y"), OutputError, "not a folder that exists"),
    ]:
        with pytest.raises(error, match=message):
            run_classification(session, photos, outputs)
    assert set(tmp_path.rglob("*")) == before
