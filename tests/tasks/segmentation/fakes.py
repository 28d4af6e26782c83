"""Frames and results made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Frame, Size
from vpp_deploy.media import letterbox
from vpp_deploy.tasks.segmentation.results import FrameResult, Instances


def make_frame(original: npt.NDArray[np.uint8], size: Size) -> Frame:
    image, content = letterbox(original, size)
    return Frame(image, content, original, 0)


def make_instances(
    masks: Sequence[npt.NDArray[np.bool_]],
    size: Size,
    *,
    scores: Sequence[float] | None = None,
    labels: Sequence[int] | None = None,
    identities: Sequence[int] | None = None,
) -> Instances:
    count = len(masks)
    boxes = np.zeros((count, 4), np.float32)
    for row, mask in enumerate(masks):
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes[row] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return Instances(
        masks=np.array(masks, np.bool_).reshape(count, *size),
        boxes=boxes,
        scores=np.array(scores if scores is not None else [0.9] * count, np.float32),
        labels=np.array(labels if labels is not None else [0] * count, np.int64),
        identities=np.array(identities if identities is not None else range(count), np.int64),
    )


def make_result(
    instances: Instances,
    *,
    kept: Mapping[str, Sequence[int]] | None = None,
    grid: Size = (4, 4),
    index: int = 0,
    time: Fraction | None = None,
) -> FrameResult:
    return FrameResult(
        index=index,
        time=time,
        original_size=(instances.masks.shape[1], instances.masks.shape[2]),
        instances=instances,
        kept={name: np.array(positions, np.int32) for name, positions in (kept or {}).items()},
        grid=grid,
        candidates_dropped=0,
        tracks_not_fed=0,
        seconds={"engine": 0.01, "host": 0.002},
    )


def rectangle(size: Size, top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    mask[top:bottom, left:right] = True
    return mask
