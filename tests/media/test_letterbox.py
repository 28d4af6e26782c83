from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpp_deploy.frames import Size
from vpp_deploy.media.letterbox import content_size, letterbox

sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def random_image(size: Size, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def naive_bilinear(image: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.float64]:
    """Pixel by pixel, straight from the definition."""
    height, width = image.shape[:2]
    result = np.empty((*size, 3))
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / size[1] - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            below = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            result[row, column] = above * (1 - (y - top)) + below * (y - top)
    return result


@settings(max_examples=40, deadline=None)
@given(original=sizes, size=sizes)
def test_the_content_is_bilinear_and_rounded(original: Size, size: Size) -> None:
    image = random_image(original)
    boxed, content = letterbox(image, size)
    expected = naive_bilinear(image, content)
    # Rounding to nearest is at most half a grey level off, and float32 weights add a trace.
    assert np.abs(boxed[: content[0], : content[1]] - expected).max() <= 0.5 + 1e-3


def bilinear_at_once(image: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """The whole picture in float32, first down, then across."""
    positions = [
        np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
        for source, target in zip(image.shape[:2], size, strict=True)
    ]
    (top, left), (down, across) = zip(*((p.astype(int), (p % 1).astype(np.float32)) for p in positions), strict=True)
    rows = image[top].astype(np.float32)
    rows += (image[np.minimum(top + 1, len(image) - 1)] - rows) * down[:, None, None]
    pixels, right = rows[:, left], rows[:, np.minimum(left + 1, image.shape[1] - 1)]
    return (pixels + (right - pixels) * across[:, None] + np.float32(0.5)).astype(np.uint8)


@settings(max_examples=100, deadline=None)
@given(original=sizes, size=sizes)
def test_bands_of_rows_are_those_of_the_whole_picture_to_the_last_bit(original: Size, size: Size) -> None:
    image = random_image(original)
    boxed, content = letterbox(image, size)
    np.testing.assert_array_equal(boxed[: content[0], : content[1]], bilinear_at_once(image, content))


@settings(max_examples=200, deadline=None)
@given(original=sizes, size=sizes)
def test_the_content_fills_one_side_and_the_rest_is_zero(original: Size, size: Size) -> None:
    boxed, (height, width) = letterbox(np.full((*original, 3), 255, np.uint8), size)
    assert boxed.shape == (*size, 3)
    assert boxed.dtype == np.uint8
    assert 1 <= height <= size[0]
    assert 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    assert (boxed[:height, :width] == 255).all()
    assert not boxed[height:].any()
    assert not boxed[:, width:].any()


@settings(max_examples=200, deadline=None)
@given(original=sizes, size=sizes)
def test_the_aspect_ratio_is_kept_to_half_a_pixel(original: Size, size: Size) -> None:
    height, width = content_size(original, size)
    scale = min(size[0] / original[0], size[1] / original[1])
    assert height == 1 or abs(height - original[0] * scale) <= 0.5 + 1e-9
    assert width == 1 or abs(width - original[1] * scale) <= 0.5 + 1e-9


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = random_image((32, 48))
    boxed, content = letterbox(image, (32, 48))
    assert boxed is image
    assert content == (32, 48)


def test_scale_one_copies_pixels_exactly() -> None:
    image = random_image((20, 48))
    boxed, content = letterbox(image, (32, 48))
    assert content == (20, 48)
    np.testing.assert_array_equal(boxed[:20], image)


def test_downscaling_does_not_antialias() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    image[::3] = 255  # rows 0, 3, 6; a threefold reduction samples rows 1, 4, 7 only
    boxed, _ = letterbox(image, (3, 3))
    assert not boxed.any()


@pytest.mark.parametrize(("original", "size"), [((37, 53), (64, 64)), ((90, 160), (48, 80)), ((64, 48), (32, 96))])
def test_it_is_what_torch_computes(original: Size, size: Size) -> None:
    torch = pytest.importorskip("torch")
    image = random_image(original, seed=3)
    boxed, content = letterbox(image, size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(tensor, content, mode="bilinear", align_corners=False)
    expected = expected[0].permute(1, 2, 0).numpy()
    assert np.abs(boxed[: content[0], : content[1]] - expected).max() <= 0.5 + 1e-3
