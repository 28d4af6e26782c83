"""A synthetic clip of our own: textured shapes over a slowly panning ground. NumPy and Pillow only."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Size
from vpp_deploy.video.writer import VideoWriter

Coordinates = npt.NDArray[np.float64]

SHAPES = ("circle", "square", "triangle", "star", "ring")
_PALETTE = ("#e4572e", "#f3a712", "#29b6a8", "#5b8def", "#c65bcf", "#8ac926", "#ff7aa2", "#f7e8c4")
_GROUND = ("#24394a", "#3d5a5c", "#8a9a6b", "#c9b48a")
_PAN = 0.12  # how far the ground moves each way, as a share of the frame's height
_SUPERSAMPLING = 3


def write_synthetic_clip(
    path: str | os.PathLike[str],
    *,
    frames: int = 48,
    size: Size = (360, 640),
    objects: int = 4,
    seed: int = 0,
    fps: int = 12,
) -> None:
    """Write `synthetic_frames` as an H.264 video.

    Args:
        path: the target, `.mp4`, `.mov` or `.mkv`.
        frames: number of frames, at least 1.
        size: height and width in pixels, at least 32 each.
        objects: number of moving shapes.
        seed: everything random comes from it: the same seed gives the same frames.
        fps: frames per second.

    Raises:
        OutputError: the target cannot be written.
        UsageError: a number is out of its range.
    """
    pictures = synthetic_frames(frames=frames, size=size, objects=objects, seed=seed, fps=fps)
    with VideoWriter(path, size, fps) as writer:
        for index, picture in enumerate(pictures):
            writer.write(picture, Fraction(index, fps))


def synthetic_frames(
    *, frames: int = 48, size: Size = (360, 640), objects: int = 4, seed: int = 0, fps: int = 12
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames `[H, W, 3]` uint8 RGB of the synthetic clip; arguments and errors as for `write_synthetic_clip`.

    Shapes move, turn and grow and shrink. Two of three bounce off the frame's edges; every third leaves
    the frame sideways and comes back on the other side. Motion depends on the time index / fps, not on the frame rate.
    """
    if frames < 1 or objects < 0 or fps < 1 or min(size) < 32:
        raise UsageError(
            f"synthetic clip: frames={frames}, objects={objects}, fps={fps}, size={size[0]}x{size[1]}; "
            "give frames and fps of at least 1, objects of at least 0 and a size of at least 32x32"
        )
    return _render(frames, size, objects, np.random.default_rng(seed), fps)


def _render(
    frames: int, size: Size, objects: int, rng: np.random.Generator, fps: int
) -> Iterator[npt.NDArray[np.uint8]]:
    ground = _ground(size, rng)
    lanes = (rng.permutation(objects) + rng.uniform(0.2, 0.8, objects)) / max(1, objects)
    colours = [_rgb(_PALETTE[index]) for index in rng.permutation(len(_PALETTE))]
    shapes = [_Shape.random(number, float(lane), colours, size, rng) for number, lane in enumerate(lanes)]
    for index in range(frames):
        seconds = index / fps
        canvas = _pan(ground, size, seconds)
        for shape in shapes:
            shape.paste(canvas, seconds)
        yield np.array(canvas)


@dataclass(frozen=True)
class _Shape:
    """A sprite and its motion; every quantity is a function of the time alone.

    Attributes:
        sprite: a square RGBA tile.
        frame: height and width of the picture.
        crosses: whether the shape leaves the frame sideways and comes back on the other side; else it bounces.
        start: (y, x), each a share in [0, 1] of the way the shape has.
        speed: (y, x) in pixels per second.
        turn: degrees per second.
        pulse: by how much the shape shrinks, as a share of its size.
    """

    sprite: Image.Image
    frame: Size
    crosses: bool
    start: tuple[float, float]
    speed: tuple[float, float]
    turn: float
    pulse: float

    @classmethod
    def random(
        cls, number: int, lane: float, colours: Sequence[Coordinates], frame: Size, rng: np.random.Generator
    ) -> _Shape:
        """Shape number `number`, which starts about `lane` (0..1) of the way across the frame."""
        crosses = number % 3 == 2
        pair = (colours[2 * number % len(colours)], colours[(2 * number + 1) % len(colours)])
        diameter = int(min(frame) * rng.uniform(0.28, 0.46))
        sideways = frame[1] * rng.uniform(0.2, 0.3) if crosses else min(frame) * rng.uniform(0.1, 0.3)
        return cls(
            sprite=_sprite(SHAPES[number % len(SHAPES)], diameter, *pair, rng),
            frame=frame,
            crosses=crosses,
            start=(rng.uniform(0.1, 0.9), lane),
            speed=(rng.choice([-1, 1]) * frame[0] * rng.uniform(0.1, 0.3), rng.choice([-1, 1]) * sideways),
            turn=rng.choice([-1, 1]) * rng.uniform(20, 60),
            pulse=rng.uniform(0.15, 0.3),
        )

    def paste(self, canvas: Image.Image, seconds: float) -> None:
        diameter = self.sprite.width
        scale = 1 - self.pulse * (0.5 + 0.5 * math.sin(1.7 * seconds + 2 * math.pi * self.start[0]))
        y = _bounce(self.start[0], self.speed[0] * seconds, self.frame[0], diameter / 2)
        x = (_wrap if self.crosses else _bounce)(self.start[1], self.speed[1] * seconds, self.frame[1], diameter / 2)
        left, top = math.floor(x - diameter / 2), math.floor(y - diameter / 2)
        tile = _turned(self.sprite, self.turn * seconds, scale, (x - left, y - top), diameter + 1)
        shadow = (
            tile.getchannel("A").point(lambda alpha: alpha * 2 // 5).filter(ImageFilter.GaussianBlur(diameter / 24))
        )
        drop = max(1, diameter // 20)
        canvas.paste((8, 12, 20), (left + drop, top + drop), shadow)
        canvas.paste(tile, (left, top), tile)


def _bounce(start: float, way: float, length: int, margin: float) -> float:
    """A triangle wave between the two margins."""
    room = max(1.0, length - 2 * margin)
    position = (start * room + way) % (2 * room)
    return margin + min(position, 2 * room - position)


def _wrap(start: float, way: float, length: int, margin: float) -> float:
    """From beyond one edge to beyond the other, then from the first again."""
    room = length + 3 * margin
    return (start * room + way) % room - 1.5 * margin


def _turned(sprite: Image.Image, degrees: float, scale: float, centre: tuple[float, float], width: int) -> Image.Image:
    """The sprite turned and scaled about its centre, which comes to lie at `centre` of a tile of this width."""
    cosine, sine = (f(math.radians(degrees)) / scale for f in (math.cos, math.sin))
    middle = sprite.width / 2
    offset_x = middle - cosine * centre[0] - sine * centre[1]
    offset_y = middle + sine * centre[0] - cosine * centre[1]
    matrix = (cosine, sine, offset_x, -sine, cosine, offset_y)
    return sprite.transform((width, width), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _sprite(
    kind: str, diameter: int, colour: Coordinates, second: Coordinates, rng: np.random.Generator
) -> Image.Image:
    """A square RGBA tile: a shape filled with a two-coloured texture, lit from the top left, with a darker rim.

    A margin around the shape leaves room for its shadow.
    """
    y, x = np.mgrid[0:diameter, 0:diameter] * (2 / max(1, diameter - 1)) - 1
    blend = _texture(rng)(x, y)[..., None]
    light = 1.08 - 0.22 * (x + y)[..., None] / 2
    rgb = (colour * blend + second * (1 - blend)) * light
    outer, rim = _silhouette(kind, diameter, 0.84), _silhouette(kind, diameter, 0.75)
    rgb *= (0.55 + 0.45 * rim / 255)[..., None]
    return Image.fromarray(np.dstack([rgb.clip(0, 255), outer]).astype(np.uint8), "RGBA")


def _silhouette(kind: str, diameter: int, radius: float) -> npt.NDArray[np.float64]:
    """An anti-aliased mask `[diameter, diameter]` in 0..255 of the shape with this outer radius (1 = the tile)."""
    width = diameter * _SUPERSAMPLING
    image = Image.new("L", (width, width))
    pen = ImageDraw.Draw(image)
    pen.polygon(_outline(kind, radius, width), fill=255)
    if kind == "ring":
        pen.polygon(_outline("circle", 1.23 - radius, width), fill=0)
    return np.asarray(image.resize((diameter, diameter), Image.Resampling.BOX), np.float64)


def _outline(kind: str, radius: float, width: int) -> list[tuple[float, float]]:
    corners = {"circle": 64, "ring": 64, "square": 4, "triangle": 3, "star": 10}[kind]
    angles = np.arange(corners) * (2 * math.pi / corners) - math.pi / 2
    radii = np.full(corners, radius)
    if kind == "star":
        radii[1::2] *= 0.5
    points = 0.5 * width * (1 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return [(float(x), float(y)) for x, y in points]


def _texture(rng: np.random.Generator) -> Callable[[Coordinates, Coordinates], Coordinates]:
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


def _ground(size: Size, rng: np.random.Generator) -> Image.Image:
    """A soft landscape of noise in muted colours, larger than the frame by the way of the pan."""
    margin = math.ceil(_PAN * size[0]) + 1
    height, width = size[0] + 2 * margin, size[1] + 2 * margin
    relief = np.zeros((height, width))
    for octave in range(5):
        cells = 3 * 2**octave
        grid = rng.standard_normal((cells, max(2, cells * width // height))).astype(np.float32)
        relief += np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)) * 0.62**octave
    relief += np.linspace(-1.2, 1.2, height)[:, None]
    position = np.interp(relief, np.quantile(relief, [0.02, 0.98]), [0, len(_GROUND) - 1])
    colours = np.stack([_rgb(colour) for colour in _GROUND])
    channels = [np.interp(position, np.arange(len(_GROUND)), colours[:, channel]) for channel in range(3)]
    grain = rng.normal(0, 3, (height, width, 1))
    return Image.fromarray((np.dstack(channels) + grain).clip(0, 255).astype(np.uint8))


def _pan(ground: Image.Image, size: Size, seconds: float) -> Image.Image:
    reach = _PAN * size[0]
    x = (ground.width - size[1]) / 2 + reach * math.sin(0.45 * seconds)
    y = (ground.height - size[0]) / 2 + reach * math.sin(0.31 * seconds)
    return ground.transform((size[1], size[0]), Image.Transform.AFFINE, (1, 0, x, 0, 1, y), Image.Resampling.BILINEAR)


def _rgb(colour: str) -> Coordinates:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], np.float64)
