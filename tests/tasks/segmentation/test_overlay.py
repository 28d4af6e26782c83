from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw

from tests.pictures import assert_looks_like, scene
from tests.tasks.segmentation.fakes import make_frame, make_instances, make_result, rectangle
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.lettering import bar, text_on_colour
from vpp_deploy.media.palette import IdentityColours
from vpp_deploy.tasks.overlay_style import OverlayStyle
from vpp_deploy.tasks.segmentation.options import PARTS, RunOptions
from vpp_deploy.tasks.segmentation.overlay import TRAIL, Overlay, draw, show_patches
from vpp_deploy.tasks.segmentation.results import FrameResult

SIZE = (240, 320)
NAMES = ("person", "giant panda")


def grey(size: Size = SIZE) -> np.ndarray:
    return np.full((*size, 3), 128, np.uint8)


def unchanged_pixels(frame: Frame, result: FrameResult) -> tuple[np.ndarray, np.ndarray]:
    """`[H0, W0]` bool: where the patches that were pruned are not, on a grey frame; and the lines between patches."""
    canvas = frame.original.copy()
    show_patches(canvas, frame, result)
    return np.all(canvas == frame.original, axis=2), np.all(canvas > 240, axis=2)


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


def test_pruned_patches_are_grey_and_darker_and_kept_ones_are_not() -> None:
    frame = make_frame(np.full((256, 256, 3), (200, 100, 40), np.uint8), (64, 64))
    result = make_result(
        make_instances([], (256, 256)), kept={"selection_3": range(16), "selection_6": [8, 15]}, grid=(4, 4)
    )
    inner = draw(frame, result, NAMES).reshape(4, 64, 4, 64, 3)[:, 4:-4, :, 4:-4].astype(int)
    patches = inner.mean((1, 3)).reshape(16, 3)
    assert set(np.flatnonzero((patches == (200, 100, 40)).all(axis=1))) == {8, 15}
    pruned = np.delete(patches, (8, 15), axis=0)
    assert np.ptp(pruned) == 0
    assert 60 < pruned.max() < np.mean((200, 100, 40))


def test_a_line_runs_around_the_kept_patches() -> None:
    frame = make_frame(grey((256, 256)), (64, 64))
    result = make_result(make_instances([], (256, 256)), kept={"point": [4, 5]}, grid=(4, 4))
    _, lines = unchanged_pixels(frame, result)
    around = rectangle((256, 256), 64, 0, 129, 129) & ~rectangle((256, 256), 65, 0, 128, 128)
    np.testing.assert_array_equal(lines, around)


def test_patches_lie_on_the_padded_grid() -> None:
    """A wide frame fills only the upper half of a square input: tokens of the lower half are padding."""
    frame = make_frame(grey((100, 200)), (64, 64))
    assert frame.content_size == (32, 64)
    result = make_result(make_instances([], (100, 200)), kept={"selection_3": [2, *range(8, 16)]}, grid=(4, 4))
    kept, lines = unchanged_pixels(frame, result)
    assert kept.any()
    np.testing.assert_array_equal((kept | lines)[:50, 101:149], True)
    np.testing.assert_array_equal(kept, rectangle((100, 200), 0, 100, 50, 150) & ~lines)


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
    unchanged, lines = unchanged_pixels(
        frame, make_result(make_instances([], original), kept={"point": kept}, grid=grid)
    )
    for y in range(original[0]):
        for x in range(original[1]):
            row = int(Fraction(2 * y + 1, 2) * frame.content_size[0] / original[0] / 16)
            column = int(Fraction(2 * x + 1, 2) * frame.content_size[1] / original[1] / 16)
            assert unchanged[y, x] == (row * grid[1] + column in kept) or lines[y, x]


def test_masks_are_tinted_in_the_colour_of_their_identity_with_an_outline() -> None:
    frame = make_frame(grey(), SIZE)
    mask = rectangle(SIZE, 100, 100, 200, 200)
    drawn = draw(frame, make_result(make_instances([mask], SIZE, identities=[7])), NAMES).astype(int)
    colour = np.array(IdentityColours().of([7])[0])
    inside, outline, outside = drawn[150, 150], drawn[150, 100], drawn[220, 150]
    np.testing.assert_array_equal(outline, colour)
    np.testing.assert_array_equal(outside, [128] * 3)
    assert 0 < np.abs(inside - 128).max() < np.abs(colour - 128).max()
    assert ((inside - 128) * (colour - 128) >= 0).all()


def test_a_label_is_written_above_the_box_or_below_it_where_there_is_no_room() -> None:
    frame = make_frame(grey(), SIZE)
    below = draw(frame, make_result(make_instances([rectangle(SIZE, 100, 280, 200, 320)], SIZE)), NAMES)
    assert (below[80:100] != 128).any()
    assert not (below[:80] != 128).any()
    top = draw(frame, make_result(make_instances([rectangle(SIZE, 0, 280, 60, 320)], SIZE)), NAMES)
    assert (top[60:80] != 128).any()


def test_labels_do_not_cover_each_other() -> None:
    places = [rectangle(SIZE, 100, left, 140, left + 40) for left in (100, 104, 108)]
    frame = make_frame(grey(), SIZE)
    drawn = draw(frame, make_result(make_instances(places, SIZE)), NAMES, parts={"labels"})
    for colour in IdentityColours().of(range(3)):
        assert (drawn == colour).all(axis=2).sum() > 400


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts that are drawn."""
    texts: list[str] = []
    bar.cache_clear()
    text_on_colour.cache_clear()
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, **options: texts.append(text))
    yield texts
    bar.cache_clear()  # what was drawn without texts
    text_on_colour.cache_clear()


def test_label_and_bar_say_what_there_is(written: list[str]) -> None:
    instances = make_instances([rectangle(SIZE, 50, 50, 90, 90)], SIZE, scores=[0.8765], labels=[1], identities=[12])
    result = make_result(instances, kept={"map_selection": range(8), "selection_3": range(4)})
    Overlay(SIZE, NAMES, points=2)(make_frame(grey(), SIZE), result)
    assert written == ["#12 giant panda 0.88", "1 object", "patches kept 25 %", "pruned", "stage by stage 50, 25 %"]


def test_a_long_class_name_takes_half_the_picture(written: list[str]) -> None:
    frame = make_frame(grey(), SIZE)
    draw(frame, make_result(make_instances([rectangle(SIZE, 50, 50, 90, 90)], SIZE)), ["unicorn" * 1000])
    (label,) = written
    assert label.endswith("... 0.90")
    assert len(label) < 60


def test_the_bar_of_a_dense_model_counts_objects(written: list[str]) -> None:
    frame = make_frame(grey(), SIZE)
    Overlay(SIZE, NAMES, points=0)(frame, replace(make_result(make_instances([], SIZE)), cut=True))
    assert written == ["0 objects", "scene cut"]


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (90, 33), (1, 60_000)])
def test_the_bar_is_below_the_picture_and_of_one_height(size: Size) -> None:
    overlay = Overlay(size, NAMES, points=4)
    frame = make_frame(grey(size), (64, 64))
    few, many = make_instances([], size), make_instances([np.zeros(size, np.bool_)] * 3, size)
    first = overlay(frame, make_result(few, kept={"selection_3": range(4)}))
    later = overlay(frame, make_result(many, kept=dict.fromkeys("abcd", range(16))))
    assert first.shape == later.shape == (*overlay.size, 3)
    assert overlay.size[0] - size[0] in range(2, 200, 2)
    assert overlay.size[1] == size[1]
    np.testing.assert_array_equal(later[: size[0]], frame.original)


def test_a_trail_follows_a_track_and_begins_anew_where_it_jumped_or_was_lost() -> None:
    def trail(*lefts: int | None) -> np.ndarray:
        """Columns of pixels that the trail after these frames covers; None is a frame without the object."""
        overlay = Overlay(SIZE, NAMES, points=0, style=OverlayStyle(frozenset({"tracks"})))
        for left in lefts:
            masks = [] if left is None else [rectangle(SIZE, 100, left, 140, left + 40)]
            drawn = overlay(make_frame(grey(), SIZE), make_result(make_instances(masks, SIZE)))
        return np.flatnonzero((drawn[: SIZE[0]] != 128).any(axis=(0, 2)))

    moved = trail(40, 60, 80)
    assert (moved.min(), moved.max()) == pytest.approx((60, 100), abs=3)
    assert trail(40, 60, 200, 210).min() > 210
    assert trail(40, 60, None, 70, 80).min() > 85
    assert trail(*range(0, 3 * TRAIL, 2)).min() > 2 * TRAIL // 2


def test_only_the_parts_that_are_asked_for_are_drawn() -> None:
    frame = make_frame(scene(SIZE), SIZE)
    result = make_result(make_instances([rectangle(SIZE, 100, 100, 200, 200)], SIZE), kept={"point": [5, 6]})
    seen = {part: draw(frame, result, NAMES, parts={part}) for part in PARTS if part != "tracks"}
    for picture in seen.values():
        assert (picture != frame.original).any()
    np.testing.assert_array_equal(draw(frame, result, NAMES, parts=()), frame.original)
    assert not (seen["boxes"][105:195, 105:195] != frame.original[105:195, 105:195]).any()
    assert (seen["masks"][105:195, 105:195] != frame.original[105:195, 105:195]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draw": "masks,faces"}, r"--draw is 'masks,faces': there is no 'faces'; name some of masks, boxes"),
        ({"draw": ""}, r"there is no ''; name some of"),
        ({"draw": "none,masks"}, "none stands alone"),
        ({"header": "yes"}, "--header is 'yes'; it must be on or off"),
    ],
)
def test_words_that_mean_nothing_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RunOptions(**options)


def test_words_that_mean_something_are_understood() -> None:
    assert RunOptions(draw="none", header="off").style == OverlayStyle(frozenset(), header=False)
    assert RunOptions(draw=" boxes, labels").style == OverlayStyle(frozenset({"boxes", "labels"}))
    assert RunOptions().style.parts == set(PARTS) - {"boxes"}


def test_the_overlay_looks_as_it_should(tmp_path: Path) -> None:
    size = 160, 240
    y, x = np.mgrid[: size[0], : size[1]]
    overlay = Overlay(size, NAMES, points=2, style=OverlayStyle(frozenset(PARTS)))
    for step in range(8):
        masks = [np.hypot(y - 60 - step, x - 40 - 5 * step) < 28, np.abs(y - 120) + np.abs(x - 190 + 4 * step) < 30]
        instances = make_instances(masks, size, scores=[0.97, 0.5], labels=[0, 1])
        kept = [row * 6 + column for row in range(1, 4) for column in range(5) if (row, column) != (2, 3)]
        result = make_result(instances, kept={"map_selection": range(18), "selection_3": kept}, grid=(4, 6))
        drawn = overlay(make_frame(scene(size), (64, 96)), result)
    assert_looks_like(drawn, Path(__file__).parent / "golden" / "overlay.png", tmp_path)


def test_identities_that_are_seen_together_have_distinct_stable_colours() -> None:
    chosen = IdentityColours()
    colours = np.array(chosen.of(range(7)))
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)[~np.eye(7, dtype=bool)]
    assert distances.min() > 80
    assert len(set(chosen.of([0, 7, 14]))) == 3
    assert chosen.of([0]) == [tuple(colours[0])]
    assert len(set(chosen.of(range(20, 40)))) == 7
