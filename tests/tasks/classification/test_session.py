"""A classification session: batches, labels, and the clips of a sliding window."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import vpp_deploy
from tests.bundle.classifier_factory import HEIGHT, WIDTH
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.tasks.classification.session import ClassificationSession, Sample, clips, top_labels

SIZE = (HEIGHT, WIDTH)


def frame(index: int, brightness: int = 128, size: Size = SIZE) -> Frame:
    image = np.full((*size, 3), brightness, np.uint8)
    return Frame(image, size, image, index, Fraction(index, 10), f"{index}.png")


def stream(count: int) -> list[Frame]:
    image = np.zeros((1, 1, 3), np.uint8)
    return [Frame(image, (1, 1), image, index) for index in range(count)]


def windows(count: int, length: int, sampling: int, hop: int) -> list[list[int]]:
    return [[frame.index for frame in clip] for clip in clips(stream(count), length, sampling, hop)]


def test_clips_of_a_video_that_ends_within_one() -> None:
    assert windows(9, length=3, sampling=2, hop=2) == [[0, 2, 4], [2, 4, 6], [4, 6, 8]]
    assert windows(10, length=3, sampling=2, hop=2) == [[0, 2, 4], [2, 4, 6], [4, 6, 8], [6, 8, 9]]
    assert windows(3, length=3, sampling=2, hop=9) == [[0, 2, 2]]
    assert windows(8, length=2, sampling=1, hop=3) == [[0, 1], [3, 4], [6, 7]]
    assert windows(7, length=2, sampling=1, hop=3) == [[0, 1], [3, 4], [6, 6]]
    assert windows(0, length=2, sampling=1, hop=1) == []


window = {
    "count": st.integers(0, 60),
    "length": st.integers(1, 8),
    "sampling": st.integers(1, 5),
    "hop": st.integers(1, 40),
}


@given(**window)
def test_clips_begin_every_hop_and_take_every_so_many_frames(count: int, length: int, sampling: int, hop: int) -> None:
    found = windows(count, length, sampling, hop)
    for number, clip in enumerate(found):
        begin = number * hop
        assert clip == [min(begin + step * sampling, count - 1) for step in range(length)]


@given(**window)
def test_there_are_as_many_clips_as_the_video_needs(count: int, length: int, sampling: int, hop: int) -> None:
    """Of the begins within the video, all up to the first one whose clip reaches the end."""
    span = (length - 1) * sampling + 1
    begins = list(range(0, count, hop))
    whole = [begin for begin in begins if begin + span < count]
    needed = [*whole, *begins[len(whole) : len(whole) + 1]]
    assert len(windows(count, length, sampling, hop)) == len(needed)


@given(**window)
def test_every_frame_lies_within_a_clip_if_the_hop_is_no_longer_than_one(
    count: int, length: int, sampling: int, hop: int
) -> None:
    assume(hop <= (length - 1) * sampling + 1)
    covered = {index for clip in windows(count, length, sampling, hop) for index in range(clip[0], clip[-1] + 1)}
    assert covered == set(range(count))


def test_a_clip_is_given_as_soon_as_its_last_frame_is_there() -> None:
    source = iter(stream(100))
    first = next(clips(source, 3, 2, 2))
    assert [frame.index for frame in first] == [0, 2, 4]
    assert next(source).index == 5


def test_images_are_classified_in_batches_in_order(images: Engine) -> None:
    session = ClassificationSession(images, top=2)
    results = list(session.run([frame(0, 10), frame(1, 250), frame(2, 120)]))
    assert [[seen.index for seen in sample] for sample, _ in results] == [[0], [1], [2]]
    assert [result.labels.tolist() for _, result in results] == [[0, 1], [2, 1], [1, 0]]
    first = results[0][1]
    assert (first.indices, first.time, first.name, first.original_size) == ((0,), 0, "0.png", SIZE)
    assert first.significance["patches"].shape == (2, 3)
    np.testing.assert_allclose(first.significance["patches"], 10 / 255, rtol=1e-5)
    assert first.keep_ratios == {"patches": 0.5}
    assert set(first.seconds) == {"engine", "host"}
    assert 0.5 < first.scores[0] < 1


def test_a_batch_that_is_not_full_gives_what_a_full_one_gives(images: Engine) -> None:
    session = ClassificationSession(images)
    alone, together = session([(frame(0, 40),)]), session([(frame(0, 40),), (frame(1, 200),)])
    assert (len(alone), len(together)) == (1, 2)
    np.testing.assert_array_equal(alone[0].scores, together[0].scores)
    assert alone[0].labels[0] != together[1].labels[0]


def test_clips_are_classified_as_a_whole_and_by_layer(videos: Engine) -> None:
    video = [frame(index, 0 if index < 4 else 255) for index in range(9)]
    samples = list(ClassificationSession(videos, top=1, hop=4).run(video))
    assert [result.indices for _, result in samples] == [(0, 2, 4, 6), (4, 6, 8, 8)]
    (_, half), (_, bright) = samples
    assert (half.labels.tolist(), bright.labels.tolist()) == ([1], [2])
    np.testing.assert_allclose(half.significance["tubelets"].mean((1, 2)), [0, 1], atol=1e-6)
    assert sorted(half.kept["tubelets"].tolist()) == list(range(6, 12))


def test_clips_begin_every_half_clip_unless_told_otherwise(videos: Engine) -> None:
    samples: list[Sample] = list(ClassificationSession(videos).samples(stream(20)))
    assert [sample[0].index for sample in samples] == [0, 4, 8, 12, 16]


def test_a_real_model_gives_what_its_manifest_says(papr_bundle: vpp_deploy.Bundle) -> None:
    session = vpp_deploy.ClassificationSession(vpp_deploy.load_engine(papr_bundle, "onnxruntime", threads=1), top=3)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    ((_, result),) = session.run([Frame(image, (64, 96), image, 0)])
    (point,) = session.manifest.pruning_points
    assert result.significance[point.name].shape == point.grid == (4, 6)
    assert result.keep_ratios == {"patches": 0.5}
    assert len(set(result.kept[point.name].tolist())) == point.kept
    significance = result.significance[point.name].ravel()[result.kept[point.name]]
    assert (np.diff(significance) <= 0).all()
    assert len(result.labels) == 3


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=30), st.integers(1, 30))
def test_top_labels_are_sorted_probabilities(values: list[float], count: int) -> None:
    logits = np.array(values, np.float32)
    labels, scores = top_labels(logits, count)
    assert labels.tolist() == sorted(range(len(values)), key=lambda label: (-values[label], label))[:count]
    assert (np.diff(scores) <= 0).all()
    assert scores.sum() <= 1 + 1e-5
    if count >= len(values):
        assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_calls_that_make_no_sense(images: Engine, videos: Engine, micro_bundle: vpp_deploy.Bundle) -> None:
    with pytest.raises(UsageError, match="top is 0"):
        ClassificationSession(images, top=0)
    with pytest.raises(UsageError, match="hop 3: papr:tiny classifies images"):
        ClassificationSession(images, hop=3)
    with pytest.raises(UsageError, match="hop is 0"):
        ClassificationSession(videos, hop=0)
    with pytest.raises(UsageError, match="needs a bundle for classification"):
        ClassificationSession(vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1))
    session = ClassificationSession(images)
    for batch in ([], [(frame(0),)] * 3):
        with pytest.raises(UsageError, match="do not fit a bundle of batch 2"):
            session(batch)
    with pytest.raises(UsageError, match="a sample of 2 frames, the model takes 1"):
        session([(frame(0), frame(1))])
    with pytest.raises(UsageError, match=r"frame 7 is uint8 \[32, 47, 3\]"):
        session([(frame(7, size=(32, 47)),)])
