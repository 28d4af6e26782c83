from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.segmentation.fakes import make_frame, make_instances, make_result, rectangle
from tests.tasks.segmentation.pillow_overlay import draw_with_pillow
from vpp_deploy.frames import Frame, Size
from vpp_deploy.tasks.segmentation.overlay import dim_pruned, draw, identity_colour
from vpp_deploy.tasks.segmentation.results import FrameResult

SIZE = (240, 320)
NAMES = ("person", "giant panda")


def grey(size: Size = SIZE) -> np.ndarray:
    return np.full((*size, 3), 128, np.uint8)


def unchanged_pixels(frame: Frame, result: FrameResult) -> np.ndarray:
    """`[H0, W0]` bool: where the patches that were pruned are not, on a grey frame."""
    canvas = frame.original.copy()
    dim_pruned(canvas, frame, result)
    return (canvas == frame.original).all(axis=2)


def test_without_instances_and_selection_points_the_frame_is_unchanged() -> None:
    frame = make_frame(grey(), (240, 320))
    np.testing.assert_array_equal(draw(frame, make_result(make_instances([], SIZE)), NAMES), frame.original)


@pytest.mark.parametrize("size", [(384, 640), (720, 1280), (1080, 1920), (64, 48), (5, 300), (1, 60_000), (60_000, 1)])
def test_the_picture_keeps_size_and_type_and_the_frame_is_not_changed(size: Size) -> None:
    frame = make_frame(grey(size), (64, 64))
    before = frame.original.copy()
    mask = rectangle(size, 0, 0, max(1, size[0] // 2), size[1] // 2)
    empty = np.zeros(size, np.bool_)
    result = make_result(make_instances([mask, empty], size), kept={"selection_3": [0, 5, 6]})
    drawn = draw(frame, result, NAMES)
    assert drawn.shape == (*size, 3)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(frame.original, before)


@pytest.mark.parametrize("size", [(360, 640), (61, 97), (1080, 400)])
def test_the_picture_is_that_of_pillow_to_a_level(size: Size) -> None:
    rng = np.random.default_rng(size[0])
    frame = make_frame(rng.integers(0, 256, (*size, 3), np.uint8), (64, 96))
    y, x = np.mgrid[: size[0], : size[1]]
    places = rng.uniform(0, 1, (8, 3)) * (*size, size[1] / 4)
    masks = [np.hypot(y - top, x - left) < radius * (1 + 0.5 * np.sin(x / 9)) for top, left, radius in places]
    scores = rng.uniform(0, 1, len(masks)).tolist()
    instances = make_instances(masks, size, scores=scores, labels=[0, 1] * 4)
    result = make_result(instances, kept={"map_selection": range(24), "selection_3": range(3, 20, 2)}, grid=(4, 6))
    difference = np.abs(draw(frame, result, NAMES).astype(int) - draw_with_pillow(frame, result, NAMES))
    assert difference.max() <= 1


def test_pruned_patches_are_darker_and_kept_ones_are_not() -> None:
    frame = make_frame(grey((256, 256)), (64, 64))
    result = make_result(
        make_instances([], (256, 256)), kept={"selection_3": range(16), "selection_6": [8, 15]}, grid=(4, 4)
    )
    drawn = draw(frame, result, NAMES)
    patches = drawn.reshape(4, 64, 4, 64, 3).mean((1, 3, 4)).ravel()
    assert set(np.flatnonzero(patches == 128)) == {8, 15}
    assert patches[4:8].max() < 80


def test_patches_lie_on_the_padded_grid() -> None:
    """A wide frame fills only the upper half of a square input: tokens of the lower half are padding."""
    frame = make_frame(grey((100, 200)), (64, 64))
    assert frame.content_size == (32, 64)
    result = make_result(make_instances([], (100, 200)), kept={"selection_3": [2, *range(8, 16)]}, grid=(4, 4))
    kept = unchanged_pixels(frame, result)
    assert kept.any()
    np.testing.assert_array_equal(kept, rectangle((100, 200), 0, 100, 50, 150))


@settings(max_examples=60, deadline=None)
@given(
    original=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    data=st.data(),
)
def test_every_pixel_is_pruned_exactly_if_the_patch_of_its_centre_is(
    original: Size, grid: Size, data: st.DataObject
) -> None:
    tokens = grid[0] * grid[1]
    kept = sorted(data.draw(st.sets(st.integers(0, tokens - 1))))
    frame = make_frame(grey(original), (grid[0] * 16, grid[1] * 16))
    unchanged = unchanged_pixels(frame, make_result(make_instances([], original), kept={"point": kept}, grid=grid))
    for y in range(original[0]):
        for x in range(original[1]):
            row = int(Fraction(2 * y + 1, 2) * frame.content_size[0] / original[0] / 16)
            column = int(Fraction(2 * x + 1, 2) * frame.content_size[1] / original[1] / 16)
            assert unchanged[y, x] == (row * grid[1] + column in kept)


def test_masks_are_tinted_in_the_colour_of_their_identity_with_an_outline() -> None:
    frame = make_frame(grey(), SIZE)
    mask = rectangle(SIZE, 100, 100, 200, 200)
    drawn = draw(frame, make_result(make_instances([mask], SIZE, identities=[7])), NAMES).astype(int)
    colour = np.array(identity_colour(7))
    inside, outline, outside = drawn[150, 150], drawn[150, 100], drawn[220, 150]
    np.testing.assert_array_equal(outline, colour)
    np.testing.assert_array_equal(outside, [128] * 3)
    assert 0 < np.abs(inside - 128).max() < np.abs(colour - 128).max()
    assert ((inside - 128) * (colour - 128) >= 0).all()


def test_a_label_is_written_above_the_box_and_stays_in_the_picture() -> None:
    frame = make_frame(grey(), SIZE)
    below = draw(frame, make_result(make_instances([rectangle(SIZE, 100, 280, 200, 320)], SIZE)), NAMES)
    assert (below[80:100] != 128).any()
    assert not (below[:80] != 128).any()
    top = draw(frame, make_result(make_instances([rectangle(SIZE, 0, 280, 60, 320)], SIZE)), NAMES)
    assert (top[:16, 200:280] != 128).any()


def test_the_label_tells_identity_class_and_score(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageDraw

    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, **options: written.append(text))
    instances = make_instances([rectangle(SIZE, 50, 50, 90, 90)], SIZE, scores=[0.8765], labels=[1], identities=[12])
    result = make_result(instances, kept={"map_selection": range(8), "selection_3": range(4)})
    draw(make_frame(grey(), SIZE), result, NAMES)
    assert written == ["tokens kept   map selection: 50%   selection 3: 25%", "#12 giant panda 0.88"]


def test_neighbouring_identities_have_distinct_stable_colours() -> None:
    colours = np.array([identity_colour(number) for number in range(12)])
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)[~np.eye(12, dtype=bool)]
    assert distances.min() > 40
    assert identity_colour(3) == identity_colour(3)
