from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.bundle.classifier_factory import CLIP, COLUMNS, HEIGHT, ROWS, WIDTH, make_classifier
from vpp_deploy.bundle.classification_manifest import ClassificationManifest, ClassifierPreprocessing
from vpp_deploy.frames import Frame, Size
from vpp_deploy.tasks.classification.overlay import draw_classification, layer_of, patches_of_pixels
from vpp_deploy.tasks.classification.results import ClassificationResult

GREY = 128


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> ClassificationManifest:
    bundle = make_classifier(
        tmp_path_factory.mktemp("overlay") / "b.bundle",
        preprocessing=ClassifierPreprocessing(crop_ratio=0.8, mean=(0, 0, 0), std=(1, 1, 1)),
    )
    return ClassificationManifest.of(bundle.manifest, "a test")


def make_frame(size: Size, index: int = 0) -> Frame:
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    return Frame(image, (HEIGHT, WIDTH), np.full((*size, 3), GREY, np.uint8), index)


def make_result(
    kept: Sequence[int] | None, grid: tuple[int, ...] = (ROWS, COLUMNS), indices: tuple[int, ...] = (0,)
) -> ClassificationResult:
    points = {} if kept is None else {"patches": np.array(kept, np.int32)}
    return ClassificationResult(
        indices=indices,
        time=None,
        name="",
        original_size=(1, 1),
        labels=np.array([2, 0]),
        scores=np.array([0.9, 0.1], np.float32),
        significance={name: np.arange(np.prod(grid), dtype=np.float32).reshape(grid) for name in points},
        kept=points,
        seconds={},
    )


@pytest.fixture
def no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpp_deploy.tasks.classification.overlay.draw_header", lambda canvas, lines: 0)


SIZES = [(384, 640), (1080, 1920), (64, 48), (5, 300), (1, 1), (2, 9), (1, 60_000), (60_000, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_the_picture_keeps_size_and_type_and_the_frame_is_not_changed(
    size: Size, manifest: ClassificationManifest
) -> None:
    frame = make_frame(size)
    before = frame.original.copy()
    drawn = draw_classification(frame, make_result([0, 4]), manifest)
    assert drawn.shape == (*size, 3)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(frame.original, before)


@pytest.mark.usefixtures("no_header")
def test_a_picture_that_could_be_read_can_be_drawn(
    manifest: ClassificationManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit of pixels is for what is read; here it is lowered to spare memory."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw_classification(make_frame((400, 600)), make_result([0, 4]), manifest)
    assert drawn.shape == (400, 600, 3)


@pytest.mark.usefixtures("no_header")
def test_pruned_patches_are_darker_and_what_is_not_seen_is_grey(manifest: ClassificationManifest) -> None:
    """A picture of the model's shape: with a crop of 0.8 the model sees all but a tenth on each side."""
    drawn = draw_classification(make_frame((400, 600)), make_result([0, 4]), manifest).astype(int)
    inner = drawn[40:360, 60:540].reshape(ROWS, 160, COLUMNS, 160, 3)
    brightness = inner.mean((1, 3, 4)).ravel()
    assert set(np.argsort(brightness)[-2:]) == {0, 4}
    assert brightness[[1, 2, 3, 5]].max() < 0.7 * brightness[[0, 4]].min()
    outside = np.ones((400, 600), np.bool_)
    outside[39:361, 59:541] = False
    (colour,) = np.unique(drawn[outside], axis=0)
    assert len(set(colour.tolist())) == 1
    assert colour[0] < GREY


@pytest.mark.usefixtures("no_header")
def test_the_heat_map_goes_from_blue_to_red(manifest: ClassificationManifest) -> None:
    drawn = draw_classification(make_frame((400, 600)), make_result(range(6)), manifest).astype(int)
    least, most = drawn[100, 100], drawn[300, 500]
    assert least[2] > least[0]
    assert most[0] > most[2]


@pytest.mark.usefixtures("no_header")
def test_a_frame_of_a_clip_shows_its_layer(tmp_path: Path) -> None:
    manifest = ClassificationManifest.of(make_classifier(tmp_path / "b.bundle", clip=CLIP).manifest, "a test")
    result = make_result(range(6), grid=(2, ROWS, COLUMNS), indices=(0, 2, 4, 6))
    early, late = (draw_classification(make_frame((64, 96), index), result, manifest).mean() for index in (3, 4))
    assert late < 0.7 * early


def test_layers_follow_the_frames_of_the_clip() -> None:
    assert [layer_of(index, (0, 2, 4, 6), 2) for index in range(7)] == [0, 0, 0, 0, 1, 1, 1]
    assert [layer_of(index, (10, 11, 12, 12), 4) for index in (10, 11, 12)] == [0, 1, 2]
    assert layer_of(3, (3, 3, 3, 3), 2) == 0


def test_the_header_tells_labels_and_keep_ratios(
    manifest: ClassificationManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, **options: written.append(text))
    draw_classification(make_frame((400, 600)), make_result([0, 4, 5]), manifest)
    assert written == ["90.0%  bright", "10.0%  dark", "patches kept   patches: 50%"]
    written.clear()
    draw_classification(make_frame((40, 600)), make_result(None), manifest)
    assert written == ["90.0%  bright"]


@given(
    length=st.integers(1, 200),
    edges=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-3),
    patches=st.integers(1, 9),
)
def test_pixels_belong_to_the_patch_of_their_centre(length: int, edges: tuple[float, float], patches: int) -> None:
    begin, end = length * min(edges), length * max(edges)
    found = patches_of_pixels(length, begin, end, patches)
    assert (np.diff(found) >= 0).all()
    for pixel, patch in enumerate(found.tolist()):
        left, right = (begin + (end - begin) * number / patches for number in (patch, patch + 1))
        assert patch == -1 or left <= pixel + 0.5 + 1e-6
        assert patch == patches or pixel + 0.5 - 1e-6 <= right
