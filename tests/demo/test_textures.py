from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest

from vpp_deploy.demo.textures import SHAPES, distractor, ground, object_sprite, silhouette

AREAS = {  # of a shape whose outermost points lie on a circle of radius 1
    "circle": math.pi,
    "square": 2.0,
    "triangle": 3 * math.sqrt(3) / 4,
    "star": 5 * 0.5 * math.sin(math.pi / 5),
    "ring": math.pi * (1 - 0.5**2),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_silhouettes_have_the_area_of_their_shape(kind: str) -> None:
    mask = silhouette(kind, 100, 0.9, 0.45)
    assert mask.shape == (100, 100)
    assert mask.sum() / 255 == pytest.approx(AREAS[kind] * 45**2, rel=0.02)


def test_only_a_ring_has_a_hole() -> None:
    centres = {kind: silhouette(kind, 60, 0.9, 0.5)[30, 30] for kind in SHAPES}
    assert centres == {kind: 0 if kind == "ring" else 255 for kind in SHAPES}


@pytest.mark.parametrize("seed", range(5))
def test_a_ring_is_open_over_two_fifths_of_its_diameter(seed: int) -> None:
    alpha = np.asarray(object_sprite("ring", 100, np.random.default_rng(seed)))[..., 3]
    row = alpha[52] >= 128
    outer = np.flatnonzero(row)
    assert (~row[outer[0] : outer[-1]]).sum() >= 0.4 * (outer[-1] - outer[0])


@pytest.mark.parametrize("seed", range(5))
def test_colours_and_pattern_tell_nothing_about_the_shape(seed: int) -> None:
    sprites = {kind: np.asarray(object_sprite(kind, 100, np.random.default_rng(seed))) for kind in SHAPES}
    inside = np.s_[45:60, 45:60]  # the inner part of all shapes but the ring
    for kind in ("square", "triangle", "star"):
        np.testing.assert_array_equal(sprites[kind][inside], sprites["circle"][inside])


def saturation(pixels: np.ndarray) -> float:
    return float(np.mean([colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels.reshape(-1, 3)[::97] / 255]))


@pytest.mark.parametrize("seed", range(5))
def test_objects_are_saturated_and_what_surrounds_them_is_muted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sprite = np.asarray(object_sprite("circle", 100, rng).convert("RGBA"))
    assert saturation(sprite[sprite[..., 3] == 255][:, :3]) > 0.6
    assert saturation(np.asarray(ground((120, 160), 0.5, rng))) < 0.45
    muted = np.asarray(distractor(1.0, rng).convert("RGBA"))
    assert 0 < muted[..., 3].max() <= 0.65 * 255
