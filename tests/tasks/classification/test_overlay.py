from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.bundle.classifier_factory import CLIP, COLUMNS, HEIGHT, ROWS, WIDTH, make_classifier
from tests.pictures import assert_looks_like, scene
from vpp_deploy.bundle.classification_manifest import ClassificationManifest, ClassifierPreprocessing
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.lettering import shorten
from vpp_deploy.tasks.classification import strip
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay import draw_classification, layer_of, overlay_size, patches_of_pixels
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.overlay_style import OverlayStyle

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


WITHOUT_HEADER = OverlayStyle(USUAL_STYLE.parts, header=False)
SIZES = [(384, 640), (1080, 1920), (64, 48), (5, 300), (1, 1), (2, 9), (1, 60_000), (60_000, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_the_strip_is_beside_the_picture_and_the_frame_is_not_changed(
    size: Size, manifest: ClassificationManifest
) -> None:
    frame = make_frame(size)
    before = frame.original.copy()
    drawn = draw_classification(frame, make_result([0, 4]), manifest)
    assert drawn.shape == (*overlay_size(size, USUAL_STYLE), 3)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] == size[0] or size[0] < 200
    assert drawn.shape[1] - size[1] in range(100, 1000, 2)
    np.testing.assert_array_equal(frame.original, before)
    alone = draw_classification(frame, make_result([0, 4]), manifest, WITHOUT_HEADER)
    np.testing.assert_array_equal(drawn[: size[0], : size[1]], alone)


def test_a_picture_that_could_be_read_can_be_drawn(
    manifest: ClassificationManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit of pixels is for what is read; here it is lowered to spare memory."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw_classification(make_frame((400, 600)), make_result([0, 4]), manifest, WITHOUT_HEADER)
    assert drawn.shape == (400, 600, 3)


def test_pruned_patches_are_darker_and_what_is_not_seen_is_darkest(manifest: ClassificationManifest) -> None:
    """A picture of the model's shape: with a crop of 0.8 the model sees all but a tenth on each side."""
    style = OverlayStyle(frozenset({"patches"}), header=False)
    drawn = draw_classification(make_frame((400, 600)), make_result([0, 4]), manifest, style).astype(int)
    inner = drawn[40:360, 60:540].reshape(ROWS, 160, COLUMNS, 160, 3)[:, 4:-4, :, 4:-4]
    brightness = inner.mean((1, 3, 4)).ravel()
    assert set(np.flatnonzero(brightness == GREY)) == {0, 4}
    assert brightness[[1, 2, 3, 5]].max() < 0.7 * GREY
    assert drawn[150, 219].max() <= GREY < 200 < drawn[150, 220].min()  # the outline
    outside = np.ones((400, 600), np.bool_)
    outside[39:361, 59:541] = False
    (colour,) = np.unique(drawn[outside], axis=0)
    assert len(set(colour.tolist())) == 1
    assert colour[0] < 0.7 * brightness.min()


def test_the_heat_map_goes_from_blue_to_yellow(manifest: ClassificationManifest) -> None:
    drawn = draw_classification(make_frame((400, 600)), make_result(range(6)), manifest).astype(int)
    least, most = drawn[100, 100], drawn[300, 500]
    assert least[2] > least[1]
    assert most[1] > most[2]
    assert most.sum() > least.sum()


def test_a_frame_of_a_clip_shows_its_layer(tmp_path: Path) -> None:
    manifest = ClassificationManifest.of(make_classifier(tmp_path / "b.bundle", clip=CLIP).manifest, "a test")
    result = make_result(range(6), grid=(2, ROWS, COLUMNS), indices=(0, 2, 4, 6))
    style = OverlayStyle(frozenset({"patches"}), header=False)
    early, late = (draw_classification(make_frame((64, 96), index), result, manifest, style) for index in (3, 4))
    assert late.mean() < 0.7 * early.mean()


def test_layers_follow_the_frames_of_the_clip() -> None:
    assert [layer_of(index, (0, 2, 4, 6), 2) for index in range(7)] == [0, 0, 0, 0, 1, 1, 1]
    assert [layer_of(index, (10, 11, 12, 12), 4) for index in (10, 11, 12)] == [0, 1, 2]
    assert layer_of(3, (3, 3, 3, 3), 2) == 0


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts that are drawn."""
    texts: list[str] = []
    strip._legend.cache_clear()
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, **options: texts.append(text))
    yield texts
    strip._legend.cache_clear()  # what was drawn without texts


def test_the_strip_tells_labels_and_keep_ratios(manifest: ClassificationManifest, written: list[str]) -> None:
    draw_classification(make_frame((400, 600)), make_result([0, 4, 5]), manifest)
    labels = ["90.0 %", "bright", "10.0 %", "dark"]
    assert written == [*labels, "patches kept 50 %", "kept", "pruned", "patch significance", "least", "most"]
    written.clear()
    style = OverlayStyle(frozenset({"patches"}))
    draw_classification(make_frame((400, 600)), make_result([0, 4, 5]), manifest, style)
    assert written == ["patches kept 50 %", "kept", "pruned"]
    written.clear()
    draw_classification(make_frame((40, 600)), make_result(None), manifest)
    assert written == ["90.0 %", "bright"]


def test_the_first_synonyms_of_a_long_name_are_shown() -> None:
    name = "tusker, African elephant, Loxodonta africana"
    assert [shorten(name, 12, width) for width in (400, 170, 60, 20)] == [
        name,
        "tusker, African elephant",
        "tusker",
        "tu...",
    ]
    assert shorten("Pékinois", 12, 100) == "Pekinois"
    assert shorten("x" * 100_000, 12, 100).endswith("x...")


def test_the_overlay_looks_as_it_should(manifest: ClassificationManifest, tmp_path: Path) -> None:
    size = 200, 240
    frame = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), (HEIGHT, WIDTH), scene(size), 0)
    drawn = draw_classification(frame, make_result([1, 4, 5]), manifest)
    assert_looks_like(drawn, Path(__file__).parent / "golden" / "overlay.png", tmp_path)


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
