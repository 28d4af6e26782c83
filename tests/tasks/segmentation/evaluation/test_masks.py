from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from vpp_deploy.tasks.segmentation.evaluation.masks import box_of, read_mask, run_lengths
from vpp_deploy.tasks.segmentation.writers import encode_mask

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 40)).flatmap(lambda size: arrays(np.bool_, size))
SIZE = (6, 8)


def plain_runs(mask: np.ndarray) -> list[int]:
    """Run lengths, background first, column by column, counted one pixel after the other."""
    runs, value = [0], False
    for pixel in mask.flatten("F").tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(MASKS)
def test_compressed_counts_are_the_run_lengths(mask: np.ndarray) -> None:
    assert run_lengths(encode_mask(mask)["counts"]) == plain_runs(mask)


@given(MASKS)
def test_both_kinds_of_rle_read_alike(mask: np.ndarray) -> None:
    expected = encode_mask(mask) if mask.any() else None
    assert read_mask(encode_mask(mask), mask.shape) == expected
    assert read_mask({"size": list(mask.shape), "counts": plain_runs(mask)}, mask.shape) == expected


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_counts_of_any_text_are_a_mask_or_an_error(counts: str) -> None:
    try:
        mask = read_mask({"size": list(SIZE), "counts": counts}, SIZE)
    except ValueError:
        return
    assert mask is None or coco_mask.decode(mask).shape == SIZE


def test_polygons_become_one_mask() -> None:
    left, right = [0, 0, 3, 0, 3, 6, 0, 6], [5, 0, 8, 0, 8.0, 6.0, 5, 6]
    mask = coco_mask.decode(read_mask([left, right], SIZE)).astype(bool)
    assert mask[:, :3].all()
    assert not mask[:, 3:5].any()
    assert mask[:, 5:].all()


@pytest.mark.parametrize("nothing", [None, [], {"size": [6, 8], "counts": [48]}])
def test_no_pixel_is_no_mask(nothing: Any) -> None:
    assert read_mask(nothing, SIZE) is None


def test_a_box_is_tight() -> None:
    mask = np.zeros(SIZE, np.bool_)
    mask[2:5, 1:7] = True
    assert box_of(encode_mask(mask)) == [1, 2, 6, 3]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ("abc", "not str"),
        ({"size": [8, 6], "counts": [48]}, "size"),
        ({"size": [6, 8]}, "neither a string nor"),
        ({"size": [6, 8], "counts": [1.5, 46.5]}, "neither a string nor"),
        ({"size": [6, 8], "counts": [47]}, "of 47 pixels"),
        ({"size": [6, 8], "counts": [50, -2]}, "6x8 are 48"),
        ({"size": [6, 8], "counts": "é"}, "character"),
        ({"size": [6, 8], "counts": "P"}, "cut short"),
        ([[0, 0, 1, 1]], "three points"),
        ([[0, 0, 1, 1, 2]], "three points"),
        ([[0, 0, 1, 1, 2, "x"]], "not numbers"),
        ([[0, 0, 1, 1, 2, 1e9]], "far outside"),
        ([[0, 0, 1, 1, 2, float("nan")]], "far outside"),
        ([1, 2, 3], "three points"),
    ],
)
def test_what_is_no_mask_is_refused_with_a_reason(segmentation: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_mask(segmentation, SIZE)
