from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from vpp_deploy.demo import scenes
from vpp_deploy.demo.scenes import SPLITS, render_clip
from vpp_deploy.errors import UsageError
from vpp_deploy.families.vpp.datasets import DATASETS

SIZE = (96, 128)
CLASSES = len(DATASETS["shapes"])


def grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask and everything within two pixels of it."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_the_arguments_decide_everything(split: str) -> None:
    first, again = (render_clip(split, 3, 7, frames=3, size=SIZE) for _ in range(2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)


def test_every_argument_counts() -> None:
    calls = [("val", 0, 0), ("train", 0, 0), ("hard", 0, 0), ("val", 1, 0), ("val", 0, 1)]
    clips = [render_clip(*call, frames=1, size=SIZE).frames for call in calls]
    for number, clip in enumerate(clips):
        for other in clips[:number]:
            assert (clip != other).mean() > 0.5


def test_no_two_splits_share_a_stream() -> None:
    assert len({options.stream for options in SPLITS.values()}) == len(SPLITS)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", [(64, 64), (72, 160), (150, 66)])
def test_what_a_clip_holds(split: str, size: tuple[int, int]) -> None:
    for index in range(4):
        clip = render_clip(split, 0, index, frames=5, size=size)
        assert (clip.frames.shape, clip.frames.dtype) == ((5, *size, 3), np.uint8)
        assert (clip.identities.shape, clip.identities.dtype) == ((5, *size), np.uint8)
        objects = len(clip.labels)
        assert clip.identities.max() <= objects
        assert ((clip.labels >= 0) & (clip.labels < CLASSES)).all()
        most = max(SPLITS[split].objects)
        assert 1 <= objects <= most * SPLITS[split].shots


def test_over_many_clips_everything_happens() -> None:
    clips = [render_clip("val", 0, index, frames=8, size=SIZE) for index in range(60)]
    seen = [[(clip.identities == number + 1).any((1, 2)) for number in range(len(clip.labels))] for clip in clips]
    presence = [track for tracks in seen for track in tracks]
    assert {int(label) for clip in clips for label in clip.labels} == set(range(CLASSES))
    assert {len(clip.labels) for clip in clips} == {1, 2, 3, 4}
    arrivals = sum(not track[0] and track[-1] for track in presence)
    departures = sum(track[0] and not track[-1] for track in presence)
    assert arrivals > 5
    assert departures > 2
    assert 0.5 < np.mean([track.all() for track in presence]) < 0.95


@pytest.mark.parametrize("index", range(6))
def test_masks_are_where_the_objects_are(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    sharp = replace(SPLITS["val"], noise=(0, 0), exposure=0)
    monkeypatch.setattr(scenes, "SPLITS", {"with": sharp, "without": replace(sharp, objects=(0,))})
    clip = render_clip("with", 0, index, frames=4, size=SIZE)
    empty = render_clip("without", 0, index, frames=4, size=SIZE)
    assert not empty.identities.any()
    difference = np.abs(clip.frames.astype(int) - empty.frames).max(-1)
    mask = clip.identities > 0
    assert mask.any()
    assert (difference[mask] > 15).mean() > 0.97
    outside = ~np.stack([grown(frame) for frame in mask])
    assert outside.any()
    assert (difference[outside] > 0).mean() < 1e-3  # the soft edge of an object just beyond the frame's edge


def test_blur_leaves_the_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sharp, blurred = replace(SPLITS["hard"], exposure=0), replace(SPLITS["hard"], exposure=1)
    monkeypatch.setattr(scenes, "SPLITS", {"sharp": sharp, "blurred": blurred})
    clips = [render_clip(split, 0, 0, frames=4, size=SIZE) for split in ("sharp", "blurred")]
    assert (clips[0].frames != clips[1].frames).mean() > 0.01
    np.testing.assert_array_equal(clips[0].identities, clips[1].identities)


@pytest.mark.parametrize("index", range(4))
def test_a_hard_clip_is_cut_in_the_middle(index: int) -> None:
    clip = render_clip("hard", 0, index, frames=8, size=SIZE)
    before, after = (set(np.unique(half)) - {0} for half in np.split(clip.identities, 2))
    assert before
    assert after
    assert max(before) < min(after)
    change = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean((1, 2, 3))
    assert change.argmax() == 3


def test_a_hard_clip_of_one_frame() -> None:
    assert render_clip("hard", 0, 0, frames=1, size=SIZE).frames.shape == (1, *SIZE, 3)


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no split 'test'; choose one of train, val, hard"):
        render_clip("test", 0, 0, frames=1)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"index": -1}, {"frames": 0}, {"size": (63, 128)}, {"size": (128, 4097)}]
)
def test_numbers_out_of_range(wrong: dict) -> None:
    with pytest.raises(UsageError, match="synthetic clip: seed="):
        render_clip(**{"split": "val", "seed": 0, "index": 0, "frames": 1, "size": SIZE, **wrong})
