from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vpp_deploy.frames import Frame
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.tasks.segmentation.evaluation.coverage import count_kept, object_patches
from vpp_deploy.tasks.segmentation.writers import encode_mask


def frame_of(height: int, width: int, size: tuple[int, int]) -> Frame:
    picture = np.zeros((height, width, 3), np.uint8)
    image, content = letterbox(picture, size)
    return Frame(image, content, picture, 0)


def patches(mask: npt.NDArray[np.bool_], size: tuple[int, int], grid: tuple[int, int]) -> npt.NDArray[np.bool_]:
    return object_patches([encode_mask(mask)], frame_of(mask.shape[0], mask.shape[1], size), grid).reshape(grid)


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.bool_, (64, 96)))
def test_without_scaling_it_is_the_mean_over_each_patch(mask: npt.NDArray[np.bool_]) -> None:
    expected = mask.reshape(4, 16, 6, 16).mean((1, 3)) >= 0.5
    np.testing.assert_array_equal(patches(mask, (64, 96), (4, 6)), expected)


def test_half_a_patch_counts_and_one_pixel_less_does_not() -> None:
    mask = np.zeros((64, 96), np.bool_)
    mask[16:24, 32:48] = True
    assert np.argwhere(patches(mask, (64, 96), (4, 6))).tolist() == [[1, 2]]
    mask[23, 47] = False
    assert not patches(mask, (64, 96), (4, 6)).any()


def test_a_larger_picture_is_covered_alike() -> None:
    small = np.zeros((64, 96), np.bool_)
    small[16:48, 32:80] = True
    large = small.repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(patches(large, (64, 96), (4, 6)), patches(small, (64, 96), (4, 6)))


def test_padding_shows_no_object() -> None:
    covered = patches(np.ones((64, 48), np.bool_), (64, 96), (4, 6))
    assert covered[:, :3].all()
    assert not covered[:, 3:].any()


def test_objects_add_up() -> None:
    left, right = np.zeros((2, 16, 16), np.bool_)
    left[:, :4] = True
    right[:, 12:] = True
    frame = frame_of(16, 16, (16, 16))
    assert object_patches([encode_mask(left), encode_mask(right)], frame, (1, 1)).all()
    assert not object_patches([encode_mask(left)], frame, (1, 1)).any()
    assert not object_patches([], frame, (1, 1)).any()


def test_counting() -> None:
    objects = np.array([True, False, True, True])
    kept = {"a": np.array([0, 1, 2], np.int32), "b": np.array([1], np.int32)}
    assert count_kept(objects, kept) == {"a": (2, 3), "b": (0, 3)}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_of_picture(height: int, width: int) -> None:
    assert patches(np.ones((height, width), np.bool_), (64, 96), (4, 6)).any()
