from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing
from vpp_deploy.frames import Size
from vpp_deploy.tasks.classification.crop_resize import FILTERS, resized_part
from vpp_deploy.tasks.classification.resize import Region, resize_and_crop, visible_region

CROP_MODES = {"center-crop": "center", "squash": "squash"}


def preprocessing(
    resize: str = "center-crop", crop_ratio: float = 1.0, interpolation: str = "bicubic"
) -> ClassifierPreprocessing:
    return ClassifierPreprocessing(
        resize=resize, crop_ratio=crop_ratio, interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1)
    )


def random_image(size: Size) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def by_timm(image: npt.NDArray[np.uint8], size: Size, how: ClassifierPreprocessing) -> npt.NDArray[np.uint8]:
    transform = create_transform(
        (3, *size),
        is_training=False,
        interpolation=how.interpolation,
        crop_pct=how.crop_ratio,
        crop_mode=CROP_MODES[how.resize],
        normalize=False,
    )
    return transform(Image.fromarray(image)).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["center-crop", "squash"])
@pytest.mark.parametrize("crop_ratio", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("size", [(64, 64), (56, 56), (64, 96), (33, 20)])
@pytest.mark.parametrize("original", [(64, 64), (101, 77), (77, 101), (31, 200), (240, 135), (3, 5), (1, 9)])
def test_pixels_are_those_of_timm(
    original: Size, size: Size, crop_ratio: float, resize: str, interpolation: str
) -> None:
    how, image = preprocessing(resize, crop_ratio, interpolation), random_image(original)
    pixels, content = resize_and_crop(image, size, how)
    assert content == size
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, by_timm(image, size, how))


@settings(max_examples=150, deadline=None)
@given(
    original=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)) | st.integers(8, 40).map(lambda side: (side, side)),
    crop_ratio=st.sampled_from([0.875, 0.9, 0.965, 1.0]),
    resize=st.sampled_from(list(CROP_MODES)),
)
def test_any_size_gives_the_pixels_of_timm(original: Size, size: Size, crop_ratio: float, resize: str) -> None:
    how, image = preprocessing(resize, crop_ratio, "bilinear"), random_image(original)
    np.testing.assert_array_equal(resize_and_crop(image, size, how)[0], by_timm(image, size, how))


def test_the_visible_region_of_a_wide_picture_is_its_middle() -> None:
    assert visible_region((100, 300), (50, 50), preprocessing()) == Region(0, 100, 100, 200)
    assert visible_region((300, 100), (50, 50), preprocessing()) == Region(100, 0, 200, 100)
    assert visible_region((100, 300), (50, 50), preprocessing("squash")) == Region(0, 0, 100, 300)
    assert visible_region((100, 100), (80, 80), preprocessing(crop_ratio=0.8)) == Region(10, 10, 90, 90)


@settings(max_examples=150, deadline=None)
@given(
    original=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    size=st.tuples(st.integers(8, 64), st.integers(8, 64)),
    crop_ratio=st.sampled_from([0.5, 0.875, 1.0]),
    resize=st.sampled_from(list(CROP_MODES)),
)
def test_the_visible_region_lies_inside_the_picture(original: Size, size: Size, crop_ratio: float, resize: str) -> None:
    region = visible_region(original, size, preprocessing(resize, crop_ratio))
    assert 0 <= region.top < region.bottom <= original[0] * (1 + 1e-12)
    assert 0 <= region.left < region.right <= original[1] * (1 + 1e-12)


def test_what_is_outside_the_visible_region_does_not_reach_the_model() -> None:
    """Of a wide picture, grey in the visible part and white outside, only the seam may be brighter."""
    image = np.full((60, 180, 3), 255, np.uint8)
    how = preprocessing(crop_ratio=0.75, interpolation="bilinear")
    top, left, bottom, right = (round(edge) for edge in visible_region((60, 180), (30, 30), how))
    image[top:bottom, left:right] = 100
    pixels, _ = resize_and_crop(image, (30, 30), how)
    assert (pixels[1:-1, 1:-1] == 100).all()


@settings(max_examples=200, deadline=None)
@given(
    original=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    higher=st.integers(0, 40),
    width=st.integers(1, 90),
    share=st.tuples(*[st.floats(0, 1)] * 4),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_a_part_of_a_resized_picture_is_what_pillow_cuts_out_of_the_whole(
    original: Size, higher: int, width: int, share: tuple[float, ...], interpolation: str
) -> None:
    resized = original[0] + higher, width
    size = tuple(max(1, int(part * length)) for part, length in zip(share[:2], resized, strict=True))
    top, left = (int(part * (all_ - own)) for part, all_, own in zip(share[2:], resized, size, strict=True))
    image = random_image(original)
    whole = Image.fromarray(image).resize(resized[::-1], Image.Resampling[interpolation.upper()])
    expected = np.array(whole.crop((left, top, left + size[1], top + size[0])))
    part = resized_part(image, resized, (top, left), size, FILTERS[interpolation])
    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("original", [(1, 60_000), (60_000, 1), (1, 20_000), (3, 40_000)])
def test_strips_take_no_more_memory_than_they_and_the_model_need(original: Size) -> None:
    image = random_image(original)
    tracemalloc.start()
    pixels, _ = resize_and_crop(image, (224, 224), preprocessing(crop_ratio=0.875))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pixels.shape == (224, 224, 3)
    assert peak < 4_000_000


@pytest.mark.parametrize("original", [(1, 700), (700, 1)])
def test_a_strip_that_timm_can_still_resize_gives_its_pixels(original: Size) -> None:
    how, image = preprocessing(crop_ratio=0.875), random_image(original)
    pixels, _ = resize_and_crop(image, (224, 224), how)
    np.testing.assert_array_equal(pixels, by_timm(image, (224, 224), how))
