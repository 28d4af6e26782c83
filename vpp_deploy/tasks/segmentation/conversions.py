"""Results in the form that other libraries take."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from vpp_deploy.errors import DependencyError
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.writers import encode_mask


def to_coco(result: FrameResult, image_id: int) -> list[dict[str, Any]]:
    """See `FrameResult.to_coco`."""
    return [
        {
            "image_id": image_id,
            "category_id": one.label + 1,
            "score": one.score,
            "bbox": [float(value) for value in (*one.box[:2], *(one.box[2:] - one.box[:2]))],
            "segmentation": encode_mask(one.mask),
            "track_id": one.identity,
        }
        for one in result
    ]


def to_pandas(result: FrameResult) -> Any:
    """See `FrameResult.to_pandas`."""
    instances, count = result.instances, len(result)
    columns = {
        "frame": np.full(count, result.index),
        "time": np.full(count, np.nan if result.time is None else float(result.time)),
        "identity": instances.identities,
        "label": instances.labels,
        "name": [one.name for one in instances],
        "score": instances.scores,
        **{name: instances.boxes[:, place] for place, name in enumerate(("x1", "y1", "x2", "y2"))},
        "area": instances.masks.sum(axis=(1, 2)),
    }
    return _library("pandas").DataFrame(columns)


def to_supervision(result: FrameResult) -> Any:
    """See `FrameResult.to_supervision`."""
    instances = result.instances
    return _library("supervision").Detections(
        xyxy=instances.boxes,
        mask=instances.masks,
        confidence=instances.scores,
        class_id=instances.labels,
        tracker_id=instances.identities,
        data={"class_name": np.array([one.name for one in instances], dtype=np.str_)},
    )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DependencyError(f"{name} is not installed; install it with: pip install {name}") from error
