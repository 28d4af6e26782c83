"""The metrics against cases that can be checked by hand, and against pycocotools itself."""

from __future__ import annotations

import builtins
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.tasks.segmentation.evaluation.datasets import SIZE, Corners, edit, rle, write_dataset
from vpp_deploy.errors import DependencyError
from vpp_deploy.tasks.segmentation.evaluation import metrics, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.dataset import Dataset
from vpp_deploy.tasks.segmentation.evaluation.metrics import Scores
from vpp_deploy.tasks.segmentation.evaluation.predictions import Detection, TrackPrediction, VideoPredictions
from vpp_deploy.tasks.segmentation.evaluation.submission import from_tracks

THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]
RECALLS = [step / 100 for step in range(101)]
CIRCLE, SQUARE, RING = 1, 2, 5


def predicted(category_id: int, score: float, track: Sequence[Corners | None]) -> TrackPrediction:
    return TrackPrediction(category_id=category_id, score=score, segmentations=[rle(corners) for corners in track])


def score(dataset: Dataset, tracks: Mapping[int, Sequence[TrackPrediction]]) -> Scores:
    found = {video.id: from_tracks(tracks.get(video.id, []), len(video.files)) for video in dataset.videos}
    return metrics.score(dataset.categories, dataset.videos, found)


def interpolated(hits: Sequence[bool], objects: int) -> float:
    """AP of detections in the order of their scores: the mean over 101 recalls of the best precision from there on."""
    points = [(sum(hits[:n]) / objects, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in RECALLS) / len(RECALLS)


@pytest.fixture
def two_circles(tmp_path: Path) -> Dataset:
    """Two circles in a video of three frames, each 10 x 10 in every frame where it is."""
    first: list[Corners | None] = [(0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 10)]
    second: list[Corners | None] = [(20, 20, 30, 30), None, (20, 20, 30, 30)]
    return open_dataset(write_dataset(tmp_path / "data", {1: [(CIRCLE, first), (CIRCLE, second)]}))


def test_ap_of_tracks_by_hand(two_circles: Dataset) -> None:
    tracks = [
        # Half of the first circle in one frame, all of it in the others: I = 250, U = 300, IoU 5 / 6.
        predicted(CIRCLE, 0.9, [(0, 0, 10, 10), (0, 0, 5, 10), (0, 0, 10, 10)]),
        # The first circle once more, exactly: a duplicate as long as the one above matches.
        predicted(CIRCLE, 0.8, [(0, 0, 10, 10)] * 3),
        # The second circle, and again in the frame where it is not: I = 200, U = 300, IoU 2 / 3.
        predicted(CIRCLE, 0.7, [(20, 20, 30, 30)] * 3),
    ]
    expected = [
        # The first one matches up to 5 / 6; above, it is false and the duplicate is right. The third: up to 2 / 3.
        interpolated([iou <= 5 / 6, iou > 5 / 6, iou <= 2 / 3], objects=2)
        for iou in THRESHOLDS
    ]
    by_hand = [(51 + 50 * 2 / 3) / 101] * 4 + [51 / 101] * 3 + [51 / 2 / 101] * 3
    assert expected == pytest.approx(by_hand)

    scores = score(two_circles, {1: tracks})
    assert scores.ap_track == pytest.approx(100 * np.mean(by_hand))
    assert scores.ap_track_50 == pytest.approx(100 * by_hand[0])
    assert scores.ap_track_75 == pytest.approx(100 * by_hand[5])
    assert scores.ap_track_by_class == {
        "circle": pytest.approx(scores.ap_track), "square": None, "triangle": None, "star": None, "ring": None
    }  # fmt: skip


def test_a_second_match_of_one_object_is_false_also_after_the_very_first_track(two_circles: Dataset) -> None:
    """TrackEval numbers tracks from 0 and takes a match with number 0 for none."""
    whole = [(0, 0, 10, 10)] * 3
    other = [(20, 20, 30, 30), None, (20, 20, 30, 30)]
    scores = score(two_circles, {1: [predicted(CIRCLE, s, t) for s, t in ((0.9, whole), (0.8, whole), (0.7, other))]})
    assert scores.ap_track == pytest.approx(100 * interpolated([True, False, True], objects=2))


def test_classes_count_alike_and_one_without_objects_not_at_all(tmp_path: Path) -> None:
    box: list[Corners | None] = [(0, 0, 10, 10)] * 3
    dataset = open_dataset(write_dataset(tmp_path, {1: [(CIRCLE, box), (CIRCLE, box)], 4: [(RING, box)]}))
    scores = score(dataset, {4: [predicted(RING, 0.9, box), predicted(SQUARE, 0.9, box)]})
    assert scores.ap_track == pytest.approx(50)
    assert scores.ap_track_by_class == {
        "circle": 0, "square": None, "triangle": None, "star": None, "ring": pytest.approx(100)
    }  # fmt: skip
    assert (scores.map_bbox, scores.map_segm) == (pytest.approx(50), pytest.approx(50))


@pytest.fixture
def shapes(tmp_path: Path) -> Dataset:
    """Moving rectangles, some absent in some frames, in two videos."""
    moving: list[Corners | None] = [(10, 10 + 5 * f, 40, 40 + 5 * f) for f in range(3)]
    blinking: list[Corners | None] = [(5, 60, 20, 80), None, (8, 62, 25, 81)]
    return open_dataset(
        write_dataset(tmp_path / "data", {3: [(SQUARE, moving), (CIRCLE, blinking)], 12: [(SQUARE, blinking)]})
    )


def annotated(dataset: Dataset) -> dict[int, list[TrackPrediction]]:
    return {
        video.id: [
            TrackPrediction(category_id=t.category_id, score=0.5, segmentations=list(t.segmentations))
            for t in video.tracks
        ]
        for video in dataset.videos
    }


def test_the_annotations_themselves_are_perfect(shapes: Dataset) -> None:
    scores = score(shapes, annotated(shapes))
    values = (scores.ap_track, scores.ap_track_50, scores.ap_track_75, scores.map_bbox, scores.map_segm)
    assert values == pytest.approx((100,) * 5)


def test_nothing_found_is_0(shapes: Dataset) -> None:
    scores = score(shapes, {})
    assert (scores.ap_track, scores.ap_track_50, scores.map_bbox, scores.map_segm) == (0, 0, 0, 0)


def test_without_an_object_there_is_no_precision(tmp_path: Path) -> None:
    dataset = open_dataset(write_dataset(tmp_path, {1: []}))
    for tracks in ([], [predicted(CIRCLE, 0.9, [(0, 0, 10, 10)] * 3)]):
        scores = score(dataset, {1: tracks})
        assert (scores.ap_track, scores.map_bbox, scores.map_segm) == (None, None, None)


def test_a_crowd_is_neither_to_be_found_nor_to_be_missed(shapes: Dataset) -> None:
    edit(shapes.annotations, lambda content: content["annotations"][0].update(iscrowd=1))
    crowded = open_dataset(shapes.folder)
    without = {
        id_: [t for t in tracks if (id_, t.category_id) != (3, SQUARE)] for id_, tracks in annotated(shapes).items()
    }
    for tracks in (annotated(shapes), without):
        scores = score(crowded, tracks)
        assert (scores.ap_track, scores.map_bbox, scores.map_segm) == pytest.approx((100, 100, 100))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_frame_by_frame_is_what_pycocotools_says(kind: str, shapes: Dataset, tmp_path: Path) -> None:
    """The usual way through files, `loadRes` and `summarize`, on noisy detections with scores of their own."""
    random = np.random.default_rng(0)
    images, truth, found = [], [], []
    predictions = {}
    for video in shapes.videos:
        frames: list[list[Detection]] = []
        for frame in range(len(video.files)):
            image = len(images) + 1
            images.append({"id": image, "height": SIZE[0], "width": SIZE[1]})
            frames.append([])
            for track in video.tracks:
                if track.segmentations[frame] is None:
                    continue
                truth.append(
                    {
                        "id": len(truth) + 1,
                        "image_id": image,
                        "category_id": track.category_id,
                        "iscrowd": 0,
                        "area": 1,
                        "bbox": track.boxes[frame],
                        "segmentation": track.segmentations[frame],
                    }
                )
                left, top, width, height = (int(value) for value in track.boxes[frame])
                for score_ in random.random(3):
                    shift = int(random.integers(0, 9))
                    corners = (top + shift, left + shift // 2, top + height, left + width)
                    category = int(random.choice([track.category_id, SQUARE]))
                    box = [float(corners[1]), float(corners[0]), float(width - shift // 2), float(height - shift)]
                    frames[-1].append(Detection(category_id=category, score=score_, box=box, segmentation=rle(corners)))
                    area = {"bbox": box} if kind == "bbox" else {"segmentation": rle(corners)}
                    found.append({"image_id": image, "category_id": category, "score": score_, **area})
        predictions[video.id] = VideoPredictions(tracks=[], frames=frames)
    categories = [{"id": id_, "name": name} for id_, name in shapes.categories.items()]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": truth, "categories": categories}))
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        evaluation = COCOeval(coco, coco.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = metrics.score(shapes.categories, shapes.videos, predictions)
    assert 5 < 100 * evaluation.stats[0] < 95
    assert (scores.map_bbox if kind == "bbox" else scores.map_segm) == pytest.approx(100 * evaluation.stats[0])
    assert scores.ap_track == 0


def test_the_metrics_print_nothing_and_leave_nothing(shapes: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    score(shapes, annotated(shapes))
    assert capfd.readouterr() == ("", "")


def test_without_trackeval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object, **named: object) -> object:
        if name == "trackeval":
            raise ImportError("No module named 'trackeval'", name=name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"pip install 'vpp-deploy\[evaluate\]'"):
        metrics.import_trackeval()
