"""What synthetic pictures are made of: silhouettes, patterns, sprites and grounds. NumPy and Pillow only."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.frames import Size

Coordinates = npt.NDArray[np.float64]

SHAPES: Final = DATASETS["shapes"]
_CORNERS: Final = {"circle": 64, "ring": 64, "square": 4, "triangle": 3, "star": 10}
_SUPERSAMPLING: Final = 3
_COLOURS: Final = 4  # of a ground
_LEVELS: Final = 256  # heights of a ground's relief that are told apart


def silhouette(kind: str, width: int, radius: float, hole: float) -> npt.NDArray[np.float64]:
    """An anti-aliased mask `[width, width]` in 0..255 of a shape in the middle of a square tile.

    Args:
        kind: one of `SHAPES`.
        width: of the tile in pixels.
        radius: of the circle through the shape's outermost points; 1 = half the tile's width.
        hole: radius of a ring's hole, in the same unit; other shapes have none.
    """
    outlines = [_outline(kind, radius)]
    if kind == "ring":
        outlines.append(_outline("circle", hole))
    return filled(outlines, width)


def filled(outlines: list[Coordinates], width: int) -> npt.NDArray[np.float64]:
    """An anti-aliased mask `[width, width]` in 0..255 of a polygon, from which the further polygons are cut out.

    Args:
        outlines: corners `[N, 2]` as (x, y) in [-1, 1]², (0, 0) being the tile's middle.
        width: of the tile in pixels.
    """
    large = width * _SUPERSAMPLING
    image = Image.new("L", (large, large))
    pen = ImageDraw.Draw(image)
    for number, corners in enumerate(outlines):
        pen.polygon([(float(x), float(y)) for x, y in 0.5 * large * (1 + corners)], fill=0 if number else 255)
    return np.asarray(image.resize((width, width), Image.Resampling.BOX), np.float64)


def texture(rng: np.random.Generator) -> Callable[[Coordinates, Coordinates], Coordinates]:
    """A random pattern over [-1, 1]² with values in [0, 1]: stripes, dots, checks, waves or rings."""
    density = rng.uniform(6, 10)

    def sharpened(wave: Coordinates) -> Coordinates:
        return np.clip(0.5 + 2.5 * wave, 0, 1)

    patterns: list[Callable[[Coordinates, Coordinates], Coordinates]] = [
        lambda x, y: sharpened(np.sin(density * (x + 0.4 * y))),
        lambda x, y: sharpened(np.cos(density * x) + np.cos(density * y) - 0.6),
        lambda x, y: sharpened(np.sin(density * 0.8 * x) * np.sin(density * 0.8 * y)),
        lambda x, y: sharpened(np.sin(density * (y + 0.15 * np.sin(5 * x)))),
        lambda x, y: sharpened(np.sin(density * 1.2 * np.hypot(x, y))),
    ]
    return patterns[rng.integers(len(patterns))]


def relief(size: Size, rng: np.random.Generator, *, octaves: int, persistence: float) -> npt.NDArray[np.float32]:
    """Smooth noise `[H, W]` around 0: octaves of doubling frequency, from three bumps per height.

    Args:
        size: height and width in pixels.
        rng: where the noise comes from.
        octaves: number of octaves.
        persistence: amplitude of an octave as a share of the one before.
    """
    height, width = size
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        grid = rng.standard_normal((cells, max(2, cells * width // height))).astype(np.float32)
        smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * np.float32(persistence**octave)
    return total


def object_sprite(kind: str, diameter: float, rng: np.random.Generator) -> Image.Image:
    """A shape with a two-coloured pattern and a darker rim; its colours and pattern tell nothing about its kind.

    Args:
        kind: one of `SHAPES`. A ring's hole is 42 to 56 % as wide as the ring.
        diameter: of the circle through the shape's outermost points, in pixels.
        rng: everything else comes from it.

    Returns:
        A square tile with premultiplied alpha (mode `RGBa`), somewhat wider than the shape.
    """
    width = math.ceil(diameter) + 4
    radius = diameter / width
    hole = rng.uniform(0.42, 0.56)
    rim = rng.uniform(0.03, 0.07)
    hue = rng.random()
    first = _hsv(hue, rng.uniform(0.65, 1), rng.uniform(0.7, 1))
    second = _hsv(hue + rng.uniform(0.15, 0.85), rng.uniform(0.6, 1), rng.uniform(0.35, 1))
    y, x = np.mgrid[0:width, 0:width] * (2 / width) - 1
    angle, shift = rng.uniform(0, 2 * math.pi), rng.uniform(-0.6, 0.6, 2)
    turned = (
        math.cos(angle) * x + math.sin(angle) * y + shift[0],
        math.cos(angle) * y - math.sin(angle) * x + shift[1],
    )
    blend = texture(rng)(*turned)[..., None]
    inner = silhouette(kind, width, radius - rim, radius * hole + rim) / 255
    rgb = (first * blend + second * (1 - blend)) * (0.55 + 0.45 * inner)[..., None]
    return _premultiplied(rgb, silhouette(kind, width, radius, radius * hole))


def distractor(unit: float, rng: np.random.Generator) -> Image.Image:
    """A muted, half transparent blob, bar or crescent, which is none of `SHAPES`; as `object_sprite` returns it.

    Args:
        unit: its width is 40 to 110 times this many pixels.
        rng: everything else comes from it.
    """
    width = math.ceil(unit * rng.uniform(40, 110))
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kind = rng.integers(3)
    if kind == 0:
        radii = np.full(len(angles), 0.65)
        for wave in (1, 2, 3):
            radii += rng.uniform(0.05, 0.14) * np.sin(wave * angles + rng.uniform(0, 2 * math.pi))
        outlines = [circle * radii[:, None]]
    elif kind == 1:
        outlines = [np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [0.95, rng.uniform(0.08, 0.2)]]
    else:
        outlines = [circle * 0.95, circle * 0.85 + [rng.uniform(0.35, 0.55), 0]]
    colour = _hsv(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.25, 0.75))
    rgb = colour + 8 * relief((width, width), rng, octaves=3, persistence=0.7)[..., None]
    return _premultiplied(rgb, filled(outlines, width) * rng.uniform(0.35, 0.65))


def ground(size: Size, unit: float, rng: np.random.Generator) -> Image.Image:
    """Multi-octave noise in muted colours, with one to three distractors that lie still.

    Args:
        size: height and width in pixels.
        unit: of the distractors, see `distractor`.
        rng: everything else comes from it.
    """
    height, width = size
    noise = relief(size, rng, octaves=6, persistence=rng.uniform(0.5, 0.75))
    levels = ((noise - noise.mean()) * (_LEVELS / 4.5 / noise.std()) + _LEVELS / 2).clip(0, _LEVELS - 1)
    middle = rng.uniform(0.3, 0.65)
    colours = np.stack(
        [_hsv(rng.random(), rng.uniform(0.03, 0.28), middle + rng.uniform(-0.2, 0.2)) for _ in range(_COLOURS)]
    )
    places = np.linspace(0, _LEVELS - 1, _COLOURS)
    table = np.stack([np.interp(np.arange(_LEVELS), places, colours[:, channel]) for channel in range(3)], axis=1)
    image = Image.fromarray(table.astype(np.uint8)[levels.astype(np.uint8)])
    for _ in range(rng.integers(1, 4)):
        tile = distractor(unit, rng).convert("RGBA").rotate(rng.uniform(0, 360))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        image.paste(tile, (x - tile.width // 2, y - tile.width // 2), tile)
    return image


def _premultiplied(rgb: npt.NDArray[np.float64], alpha: npt.NDArray[np.float64]) -> Image.Image:
    rgba = np.concatenate([rgb, alpha[..., None]], axis=2).clip(0, 255).astype(np.uint8)
    return Image.fromarray(rgba).convert("RGBa")


def _hsv(hue: float, saturation: float, value: float) -> npt.NDArray[np.float64]:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _outline(kind: str, radius: float) -> Coordinates:
    corners = _CORNERS[kind]
    angles = np.arange(corners) * (2 * math.pi / corners) - math.pi / 2
    radii = np.full(corners, radius)
    if kind == "star":
        radii[1::2] *= 0.5
    return np.asarray(radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
