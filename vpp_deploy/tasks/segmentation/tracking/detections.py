"""From an engine's candidate queries to the detections of one frame (VPP, "From logits to tracks", masks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Size
from vpp_deploy.tasks.segmentation.tracking.mask_resize import MaskSummary, axis_resize, resize_mask

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class MaskRows(Protocol):
    """Mask logits `[M, h, w]` of which rows can be had: an array, or what a device holds."""

    @property
    def shape(self) -> tuple[int, ...]:
        """M, h and w."""
        ...

    def __getitem__(self, rows: Integers, /) -> Floats:
        """`[k, h, w]` of the rows `[k]`."""
        ...


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one frame; element n of every array is the same (query, class) pair.

    One query may appear several times, with different labels and the same mask.

    Attributes:
        query_indices: `[n]` int64, index among the learned queries followed by the track slots.
        rows: `[n]` int64, row of the query in the arrays that the detections were decoded from; `query_features[rows]`
            are the detections' query features.
        labels: `[n]` int64 class indices.
        scores: `[n]` float32 in [0, 1]: class probability times mean mask probability.
        boxes: `[n, 4]` float32 `x1, y1, x2, y2` in source pixels, x2 and y2 exclusive; zeros for an empty mask.
        masks: `[n, H0, W0]` bool, at the source's size.
    """

    query_indices: Integers
    rows: Integers
    labels: Integers
    scores: Floats
    boxes: Floats
    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.query_indices)

    @property
    def size(self) -> Size:
        """Height and width of the source picture in pixels."""
        return self.masks.shape[1], self.masks.shape[2]

    def take(self, index: Integers, masks: npt.NDArray[np.bool_] | None = None) -> Detections:
        """The detections at `index` `[k]`, in that order; with their masks, where the caller has them already."""
        return Detections(
            query_indices=self.query_indices[index],
            rows=self.rows[index],
            labels=self.labels[index],
            scores=self.scores[index],
            boxes=self.boxes[index],
            masks=self.masks[index] if masks is None else masks,
        )

    @classmethod
    def empty(cls, size: Size) -> Detections:
        """No detections on a picture of `size` pixels (height, width)."""
        return cls(
            query_indices=np.zeros(0, np.int64),
            rows=np.zeros(0, np.int64),
            labels=np.zeros(0, np.int64),
            scores=np.zeros(0, np.float32),
            boxes=np.zeros((0, 4), np.float32),
            masks=np.zeros((0, *size), np.bool_),
        )


def decode_detections(
    class_logits: Floats,
    mask_logits: MaskRows,
    query_indices: npt.NDArray[np.integer],
    *,
    padded_size: Size,
    content_size: Size,
    original_size: Size,
    max_instances: int,
    score_floor: Floats | None = None,
) -> Detections:
    """Turn candidate queries into detections at the source's size.

    Mask logits are resized bilinearly to `padded_size`, cropped to `content_size` and resized to `original_size`; a
    mask is where the result is positive. Of all (query, class) pairs the `max_instances` most probable are kept. A
    pair's score is its class probability × Σ(sigmoid·mask) / (Σmask + 1e-6).

    Args:
        class_logits: `[M, C + 1]` float32; the last class is "no object".
        mask_logits: `[M, h, w]` float32, over the whole padded model input. Asked once, for the rows that are needed.
        query_indices: `[M]`, each row's index among the learned queries followed by the track slots; all different.
        padded_size: height and width of the model input in pixels.
        content_size: height and width of the picture in its top-left corner.
        original_size: height and width of the source picture in pixels.
        max_instances: pairs to keep. The original keeps as many as there are learned and fed track queries.
        score_floor: `[M]` float32. Pairs of a row whose class probability does not exceed its floor are left out
            before any mask is resized. No score exceeds its class probability, so this removes nothing that a later
            test `score > floor` would keep. None keeps every pair.

    Returns:
        The detections in descending order of class probability; of equal ones the lower query index, then the lower
        class, comes first.

    Raises:
        ValueError: the arrays disagree about M, or the sizes are impossible.
    """
    if not len(class_logits) == mask_logits.shape[0] == len(query_indices):
        raise ValueError(
            f"candidates: {len(class_logits)} rows of class logits, {mask_logits.shape[0]} of mask logits and "
            f"{len(query_indices)} query indices; give one of each per candidate"
        )
    row_axis, column_axis = (
        axis_resize(*lengths)
        for lengths in zip(mask_logits.shape[1:], padded_size, content_size, original_size, strict=True)
    )
    rows, labels, probabilities = _most_probable_pairs(class_logits, query_indices, max_instances)
    if score_floor is not None:
        promising = probabilities > score_floor[rows]
        rows, labels, probabilities = rows[promising], labels[promising], probabilities[promising]

    needed, places = np.unique(rows, return_inverse=True)
    logits = mask_logits[needed]
    mean_probabilities = np.zeros(len(rows))
    boxes = np.zeros((len(rows), 4), np.float32)
    masks = np.zeros((len(rows), *original_size), np.bool_)
    resized: dict[int, tuple[MaskSummary, npt.NDArray[np.bool_]]] = {}
    for n, row in enumerate(rows.tolist()):
        if row in resized:
            summary, mask = resized[row]
            masks[n][summary.box.window] = mask[summary.box.window]
        else:
            summary = resize_mask(logits[places[n]], row_axis, column_axis, masks[n])
            resized[row] = summary, masks[n]
        mean_probabilities[n], boxes[n] = summary.mean_probability, summary.box
    return Detections(
        query_indices=query_indices[rows].astype(np.int64),
        rows=rows,
        labels=labels,
        scores=probabilities * mean_probabilities.astype(np.float32),
        boxes=boxes,
        masks=masks,
    )


def _most_probable_pairs(
    class_logits: Floats, query_indices: npt.NDArray[np.integer], count: int
) -> tuple[Integers, Integers, Floats]:
    """Rows, labels and class probabilities `[k]` of the `count` most probable pairs, descending."""
    exponentials = np.exp(class_logits - class_logits.max(axis=1, keepdims=True))
    probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True))[:, :-1]
    classes = probabilities.shape[1]
    original_order = query_indices[:, None].astype(np.int64) * classes + np.arange(classes)
    pairs = np.lexsort((original_order.ravel(), -probabilities.ravel()))[:count]
    rows, labels = np.divmod(pairs, classes)
    return rows, labels, probabilities.ravel()[pairs]
