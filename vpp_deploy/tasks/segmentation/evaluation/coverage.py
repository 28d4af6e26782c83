"""Do the kept patches follow the objects? Which patches annotated objects cover, and how many of them were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.letterbox import token_index
from vpp_deploy.tasks.segmentation.writers import Rle

COVERED: Final = 0.5
"""An object's patch is one that objects cover by at least this share."""


def object_patches(masks: Sequence[Rle], frame: Frame, grid: Size) -> npt.NDArray[np.bool_]:
    """The patches of a frame that annotated objects cover by half or more.

    Args:
        masks: of the objects, at the source's size.
        frame: the letterboxed frame.
        grid: rows and columns of the model's token grid.

    Returns:
        `[N]` bool, row-major on the grid.
    """
    if not masks:
        return np.zeros(grid[0] * grid[1], np.bool_)
    objects = coco_mask.decode(coco_mask.merge(list(masks))).astype(np.float32)
    sizes = zip(frame.original_size, frame.content_size, frame.image.shape[:2], grid, strict=True)
    rows, columns = (
        np.equal.outer(np.arange(tokens), token_index(original, content, padded, tokens)).astype(np.float32)
        for original, content, padded, tokens in sizes
    )
    covered = rows @ objects @ columns.T
    pixels = np.outer(rows.sum(1), columns.sum(1))
    found: npt.NDArray[np.bool_] = ((pixels > 0) & (covered >= COVERED * pixels)).ravel()
    return found


def count_kept(objects: npt.NDArray[np.bool_], kept: Mapping[str, npt.NDArray[np.int32]]) -> dict[str, tuple[int, int]]:
    """By selection point: how many of the objects' patches were kept, and how many there are."""
    total = int(objects.sum())
    return {point: (int(objects[positions].sum()), total) for point, positions in kept.items()}
