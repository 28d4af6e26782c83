"""The metrics of the field: AP of tracks (YouTube-VIS), and AP of boxes and masks frame by frame (COCO)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vpp_deploy.errors import DependencyError
from vpp_deploy.tasks.segmentation.evaluation.dataset import Video
from vpp_deploy.tasks.segmentation.evaluation.masks import run_lengths
from vpp_deploy.tasks.segmentation.evaluation.predictions import VideoPredictions

MAX_DETECTIONS: Final = 100
"""How many objects of a frame COCO's metric counts, those with the highest scores."""

_SPLIT, _TRACKER = "evaluated", "model"


@dataclass(frozen=True, slots=True)
class Scores:
    """Average precisions in percent, over IoU 0.5:0.05:0.95 where nothing else is said; None without any object.

    Attributes:
        ap_track: AP of tracks, mean over the classes that have an object.
        ap_track_50: at IoU 0.5.
        ap_track_75: at IoU 0.75.
        ap_track_by_class: AP of tracks by class name.
        map_bbox: COCO AP of boxes, each frame an image.
        map_segm: COCO AP of masks, each frame an image.
        map_bbox_by_class: by class name.
        map_segm_by_class: by class name.
    """

    ap_track: float | None
    ap_track_50: float | None
    ap_track_75: float | None
    ap_track_by_class: Mapping[str, float | None]
    map_bbox: float | None
    map_segm: float | None
    map_bbox_by_class: Mapping[str, float | None]
    map_segm_by_class: Mapping[str, float | None]


METRICS: Final = ("ap_track", "map_bbox", "map_segm")
"""The fields of `Scores` that runs are compared by."""


def differences(first: Scores, other: Scores) -> dict[str, float | None]:
    """Other minus first in points of percent, by metric; None where no object is annotated."""
    pairs = {name: (getattr(first, name), getattr(other, name)) for name in METRICS}
    return {name: None if None in pair else pair[1] - pair[0] for name, pair in pairs.items()}


def score(
    categories: Mapping[int, str], videos: Sequence[Video], predictions: Mapping[int, VideoPredictions]
) -> Scores:
    """Score predictions against the annotations.

    Args:
        categories: names by category id.
        videos: what is evaluated on.
        predictions: by id of every one of these videos.

    Raises:
        DependencyError: TrackEval is not installed.
    """
    by_class = _track_precisions(categories, videos, predictions)
    known = [values for values in by_class.values() if values is not None]
    mean = np.mean(known, axis=0) if known else None
    boxes, masks = (_frame_precisions(kind, categories, videos, predictions) for kind in ("bbox", "segm"))
    return Scores(
        ap_track=None if mean is None else float(mean.mean()),
        ap_track_50=None if mean is None else float(mean[0]),
        ap_track_75=None if mean is None else float(mean[5]),
        ap_track_by_class={name: None if v is None else float(v.mean()) for name, v in by_class.items()},
        map_bbox=_mean(boxes.values()),
        map_segm=_mean(masks.values()),
        map_bbox_by_class=boxes,
        map_segm_by_class=masks,
    )


def import_trackeval() -> ModuleType:
    """The package that computes the AP of tracks.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        with redirect_stdout(io.StringIO()):
            import trackeval
    except ImportError as error:
        raise DependencyError(
            f"TrackEval, which scores tracks, cannot be imported ({error}); pip install 'vpp-deploy[evaluate]'"
        ) from error
    module: ModuleType = trackeval
    return module


def _track_precisions(
    categories: Mapping[int, str], videos: Sequence[Video], predictions: Mapping[int, VideoPredictions]
) -> dict[str, npt.NDArray[np.float64] | None]:
    """AP in percent at each IoU threshold, by class name; None for a class without an object."""
    trackeval = import_trackeval()
    with TemporaryDirectory(prefix="vpp-deploy-") as folder, redirect_stdout(io.StringIO()):
        truth, tracks = Path(folder) / "truth", Path(folder) / "tracks"
        _write(truth / f"youtube_vis_{_SPLIT}" / "truth.json", _truth(categories, videos))
        _write(tracks / f"youtube_vis_{_SPLIT}" / _TRACKER / "data" / "tracks.json", _tracks(videos, predictions))
        dataset = trackeval.datasets.YouTubeVIS(
            {
                "GT_FOLDER": f"{truth}/",
                "TRACKERS_FOLDER": f"{tracks}/",
                "SPLIT_TO_EVAL": _SPLIT,
                "PRINT_CONFIG": False,
            }
        )
        # TrackEval takes an annotated track that was matched with predicted track 0 for one that is still free.
        dataset.global_tid_counter = 1
        metric = trackeval.metrics.TrackMAP({"USE_AREA_RANGES": False, "USE_TIME_RANGES": False, "PRINT_CONFIG": False})
        evaluator = trackeval.Evaluator(
            {
                "LOG_ON_ERROR": None,
                "PRINT_RESULTS": False,
                "PRINT_CONFIG": False,
                "TIME_PROGRESS": False,
                "OUTPUT_SUMMARY": False,
                "OUTPUT_DETAILED": False,
                "PLOT_CURVES": False,
            }
        )
        results, _ = evaluator.evaluate([dataset], [metric])
    combined = results["YouTubeVIS"][_TRACKER]["COMBINED_SEQ"]
    values = {name: np.asarray(combined[str(id_)]["TrackMAP"]["AP_all"]) for id_, name in categories.items()}
    return {name: None if (array < 0).any() else 100 * array for name, array in values.items()}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def _truth(categories: Mapping[int, str], videos: Sequence[Video]) -> dict[str, Any]:
    """The annotation file that TrackEval reads: RLE with plain counts, and names that nothing else has."""
    annotations = [
        {
            "id": index,
            "video_id": video.id,
            "category_id": track.category_id,
            "iscrowd": int(track.iscrowd),
            "height": video.size[0],
            "width": video.size[1],
            "segmentations": [mask and mask | {"counts": run_lengths(mask["counts"])} for mask in track.segmentations],
            "areas": [],
        }
        for index, (video, track) in enumerate(((v, t) for v in videos for t in v.tracks), start=1)
    ]
    return {
        "videos": [{"id": v.id, "file_names": [f"{v.id}/{frame}" for frame in range(len(v.files))]} for v in videos],
        "categories": [{"id": id_, "name": str(id_)} for id_ in categories],
        "annotations": annotations,
    }


def _tracks(videos: Sequence[Video], predictions: Mapping[int, VideoPredictions]) -> list[dict[str, Any]]:
    return [{"video_id": video.id, **track.model_dump()} for video in videos for track in predictions[video.id].tracks]


def _mean(values: Iterable[float | None]) -> float | None:
    """Over the classes that have an object."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _frame_precisions(
    kind: str,
    categories: Mapping[int, str],
    videos: Sequence[Video],
    predictions: Mapping[int, VideoPredictions],
) -> dict[str, float | None]:
    """COCO AP in percent by class name, every frame an image; None for a class without an object."""
    frames = [(video, frame) for video in videos for frame in range(len(video.files))]
    truth = [
        {"image_id": image, "category_id": track.category_id, "iscrowd": int(track.iscrowd), "bbox": box}
        | {"segmentation": mask}
        for image, (video, frame) in enumerate(frames, start=1)
        for track in video.tracks
        if (mask := track.segmentations[frame]) and (box := track.boxes[frame])
    ]
    found = [
        {"image_id": image, "category_id": detection.category_id, "score": detection.score, "bbox": detection.box}
        | {"segmentation": detection.segmentation}
        for image, (video, frame) in enumerate(frames, start=1)
        for detection in predictions[video.id].frames[frame]
    ]
    images = [
        {"id": image, "height": video.size[0], "width": video.size[1]}
        for image, (video, _) in enumerate(frames, start=1)
    ]
    with redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(categories, images, truth), _coco(categories, images, found), kind)
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [evaluation.params.areaRng[0]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # IoU thresholds, recall thresholds, classes, 1, 1; -1 without an object
    by_class = np.moveaxis(precision, 2, 0).reshape(precision.shape[2], -1)
    names = [categories[id_] for id_ in evaluation.params.catIds]
    return {
        name: None if (values < 0).any() else 100 * float(values.mean())
        for name, values in zip(names, by_class, strict=True)
    }


def _coco(
    categories: Mapping[int, str], images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]
) -> COCO:
    """A COCO data set in memory. Ids are from 1: to COCOeval, 0 means unmatched."""
    coco = COCO()
    coco.dataset = {
        "images": [*images],
        "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
        "annotations": [
            {"id": index, "iscrowd": 0, "area": annotation["bbox"][2] * annotation["bbox"][3], **annotation}
            for index, annotation in enumerate(annotations, start=1)
        ],
    }
    coco.createIndex()
    return coco
