"""Synthetic videos with known instances: shapes that move over a textured ground. NumPy and Pillow only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.demo import motion
from vpp_deploy.demo.motion import Motion
from vpp_deploy.demo.textures import SHAPES, distractor, ground, object_sprite
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Size

SMALLEST_SIDE: Final = 64
LARGEST_SIDE: Final = 4096
"""Least and greatest height and width of a clip in pixels."""

_UNIT: Final = 256  # frame height (or width, if that is less) at which lengths in SceneOptions hold
_PAN_REACH: Final = 24.0
_PAN_SPEED: Final = 1.5
_SHAKE_REACH: Final = 8.0
_ENTER, _LEAVE, _LATE = 0.15, 0.15, 0.12  # shares of the objects after the first, which stays

Range = tuple[float, float]
Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What the clips of a split are like. Lengths are in pixels at a frame height of 256 and grow with the frame.

    Attributes:
        stream: number of the split's own random stream.
        objects: numbers of objects per shot, all equally likely.
        diameters: range of an object's diameter (of the circle around its outermost points), before it pulses.
        speeds: range of an object's speed in pixels per frame.
        spin: most degrees per frame by which an object turns.
        exposure: longest exposure as a share of the time between two frames: motion blur is speed times this.
        noise: range of the sensor noise's standard deviation, of 255.
        shake: standard deviation of the camera's jitter in pixels.
        shots: number of shots per clip, with nothing in common.
    """

    stream: int
    objects: tuple[int, ...]
    diameters: Range
    speeds: Range
    spin: float
    exposure: float
    noise: Range
    shake: float = 0.0
    shots: int = 1


SPLITS: Final[Mapping[str, SceneOptions]] = {
    "train": SceneOptions(
        stream=0, objects=(1, 2, 2, 3, 3, 4), diameters=(40, 128), speeds=(1.5, 9), spin=7, exposure=0.45, noise=(1, 8)
    ),
    "val": SceneOptions(
        stream=1, objects=(1, 2, 2, 3, 3, 4), diameters=(48, 112), speeds=(2, 8), spin=6, exposure=0.4, noise=(2, 6)
    ),
    "hard": SceneOptions(
        stream=2,
        objects=(4, 5, 6, 7, 8),
        diameters=(32, 96),
        speeds=(4, 14),
        spin=10,
        exposure=0.5,
        noise=(6, 14),
        shake=2.5,
        shots=2,
    ),
}
"""The splits by name: `val` is of the kind of `train` in slightly narrower ranges, `hard` goes beyond both."""


class SceneClip(NamedTuple):
    """A clip with its ground truth.

    Attributes:
        frames: `[T, H, W, 3]` uint8 RGB.
        identities: `[T, H, W]` uint8: number, from 1, of the object that is visible at the pixel; 0 is background.
        labels: `[M]` int64: label of object i + 1, an index into `DATASETS["shapes"]`.
    """

    frames: npt.NDArray[np.uint8]
    identities: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def render_clip(split: str, seed: int, index: int, *, frames: int, size: Size = (256, 384)) -> SceneClip:
    """Clip number `index` of a split; the same arguments give the same clip.

    Args:
        split: a key of `SPLITS`; splits never share a random stream.
        seed: everything random comes from it, at least 0.
        index: number of the clip, at least 0.
        frames: number of frames, at least 1.
        size: height and width in pixels, each from `SMALLEST_SIDE` to `LARGEST_SIDE`.

    Raises:
        UsageError: an argument is out of its range.
    """
    if split not in SPLITS:
        raise UsageError(f"synthetic clip: there is no split {split!r}; choose one of {', '.join(SPLITS)}")
    if min(seed, index) < 0 or frames < 1 or min(size) < SMALLEST_SIDE or max(size) > LARGEST_SIDE:
        raise UsageError(
            f"synthetic clip: seed={seed}, index={index}, frames={frames}, size={size[0]}x{size[1]}; give a seed and "
            f"an index of at least 0, frames of at least 1 and sides from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels"
        )
    options = SPLITS[split]
    rng = np.random.default_rng([options.stream, seed, index])
    cuts = [frames * shot // options.shots for shot in range(options.shots + 1)]
    pictures = np.empty((frames, *size, 3), np.uint8)
    identities = np.zeros((frames, *size), np.uint8)
    labels: list[int] = []
    for begin, end in pairwise(cuts):
        if begin < end:
            shot = _Shot(options, end - begin, size, len(labels) + 1, rng)
            shot.render(pictures[begin:end], identities[begin:end], rng)
            labels += shot.labels
    return SceneClip(pictures, identities, np.array(labels, np.int64))


class _Shot:
    """What is there between two cuts."""

    def __init__(
        self, options: SceneOptions, frames: int, size: Size, first_identity: int, rng: np.random.Generator
    ) -> None:
        unit = min(size) / _UNIT
        self._noise = rng.uniform(*options.noise)
        self._exposure = rng.uniform(0, options.exposure)
        self._first_identity = first_identity
        self._shake = unit * (options.shake * rng.standard_normal((frames, 2))).clip(-_SHAKE_REACH, _SHAKE_REACH)
        self._pan = motion.pan(frames, _PAN_REACH * unit, _PAN_SPEED * unit, rng)
        self._margin = math.ceil((_PAN_REACH + _SHAKE_REACH) * unit) + 2
        self._ground = ground((size[0] + 2 * self._margin, size[1] + 2 * self._margin), unit, rng)
        self._gain = 1 + _wave(frames, 0.1, rng)
        self._brightness = 128 + _wave(frames, 12, rng)
        self._distractors = [
            _Thing(distractor(unit, rng), _drift(frames, size, unit, rng)) for _ in range(rng.integers(0, 3))
        ]
        self.labels = [int(label) for label in rng.integers(len(SHAPES), size=rng.choice(options.objects))]
        self._objects: list[_Thing] = []
        for label in self.labels:
            diameter = unit * rng.uniform(*options.diameters)
            others = [thing.motion.centres[0] for thing in self._objects]
            path = _object_motion(options, frames, size, diameter, others, rng)
            self._objects.append(_Thing(object_sprite(SHAPES[label], diameter, rng), path))

    def render(
        self, pictures: npt.NDArray[np.uint8], identities: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> None:
        """Write every frame into `pictures` `[T, H, W, 3]`, and who is where into `identities` `[T, H, W]`."""
        frames, height, width = identities.shape
        grain = rng.standard_normal((height + 32, width + 32, 3), np.float32) * np.float32(self._noise)
        for index in range(frames):
            canvas = self._view(index, (height, width))
            shift = self._shake[index]
            for thing in self._distractors:
                thing.draw(canvas, index, shift, self._exposure)
            for number, thing in enumerate(self._objects):
                drawn = thing.draw(canvas, index, shift, self._exposure)
                if drawn is not None:
                    box, mask = drawn
                    identities[index][box][mask] = self._first_identity + number
            canvas -= 128
            canvas *= self._gain[index]
            canvas += self._brightness[index]
            top, left = rng.integers(32, size=2)
            canvas += grain[top : top + height, left : left + width]
            np.clip(canvas, 0, 255, out=canvas)
            pictures[index] = canvas

    def _view(self, index: int, size: Size) -> Picture:
        y, x = self._margin + self._pan[index] - self._shake[index]
        matrix = (1, 0, x, 0, 1, y)
        view = self._ground.transform((size[1], size[0]), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        return np.asarray(view).astype(np.float32)


class _Thing(NamedTuple):
    """A sprite (square, premultiplied alpha) and where it is."""

    sprite: Image.Image
    motion: Motion

    def draw(
        self, canvas: Picture, index: int, shift: npt.NDArray[np.float64], exposure: float
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]] | None:
        """Draw frame `index`, blurred along the way that the thing goes during the exposure.

        Returns:
            The box that was drawn into and the sharp silhouette there; None where nothing of it is in the frame.
        """
        if index < self.motion.first:
            return None
        centre, scale = self.motion.centres[index] + shift, self.motion.scales[index]
        way, turn = self.motion.step(index)
        blur, spin = exposure * way, exposure * turn
        reach = scale * self.sprite.width / 2 + np.abs(blur) / 2 + 1
        low = np.maximum(0, np.floor(centre - reach)).astype(int)
        high = np.minimum(canvas.shape[:2], np.ceil(centre + reach)).astype(int)
        if (low >= high).any():
            return None
        samples = 2 * min(2, math.ceil(float(np.hypot(*blur)) / 2)) + 1
        moments = np.linspace(-0.5, 0.5, samples) if samples > 1 else np.zeros(1)
        degrees = self.motion.degrees[index]
        tiles = [
            _warped(self.sprite, degrees + spin * moment, scale, centre + blur * moment - low, high - low)
            for moment in moments
        ]
        total = np.stack(tiles).sum(axis=0, dtype=np.float32) * np.float32(1 / samples)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        target = canvas[box]
        target *= 1 - total[..., 3:] / 255
        target += total[..., :3]
        return box, tiles[samples // 2][..., 3] >= 128


def _warped(
    sprite: Image.Image,
    degrees: float,
    scale: float,
    centre: npt.NDArray[np.float64],
    size: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint8]:
    """The sprite turned and scaled about its middle, which comes to lie at `centre` (y, x) of a tile of this size."""
    cosine, sine = (float(f(math.radians(degrees)) / scale) for f in (math.cos, math.sin))
    middle, (y, x) = sprite.width / 2, (float(value) for value in centre)
    matrix = (cosine, sine, middle - cosine * x - sine * y, -sine, cosine, middle + sine * x - cosine * y)
    tile = sprite.transform((int(size[1]), int(size[0])), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(tile)


def _object_motion(
    options: SceneOptions,
    frames: int,
    size: Size,
    diameter: float,
    others: list[npt.NDArray[np.float64]],
    rng: np.random.Generator,
) -> Motion:
    unit = min(size) / _UNIT
    low, high = options.speeds
    spin = rng.uniform(-options.spin, options.spin)
    fate = rng.random() if others else 1.0  # the first object stays
    if fate < _ENTER + _LEAVE:
        move = motion.entering if fate < _ENTER else motion.leaving
        return move(frames, size, diameter, unit * rng.uniform((low + high) / 2, high), spin, rng)
    start = _free_place(size, others, rng)
    path = motion.roaming(frames, size, start, diameter, unit * rng.uniform(low, high), spin, rng)
    return motion.late(path, rng) if fate < _ENTER + _LEAVE + _LATE else path


def _free_place(size: Size, others: list[npt.NDArray[np.float64]], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The better of two random places: the farther from all others."""
    places = rng.uniform(0.18, 0.82, (2, 2)) * size
    if not others:
        return np.asarray(places[0])
    distances = np.linalg.norm(places[:, None] - np.stack(others), axis=-1).min(axis=1)
    return np.asarray(places[distances.argmax()])


def _drift(frames: int, size: Size, unit: float, rng: np.random.Generator) -> Motion:
    start = rng.uniform(0, 1, 2) * size
    return motion.roaming(frames, size, start, 0, unit * rng.uniform(1, 4), rng.uniform(-3, 3), rng)


def _wave(frames: int, most: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A slow oscillation `[T]` around a level, within ±most."""
    level, swing = rng.uniform(-0.6, 0.6), rng.uniform(0, 0.4)
    phase = rng.uniform(0.05, 0.25) * np.arange(frames) + rng.uniform(0, 2 * math.pi)
    return np.asarray(most * (level + swing * np.sin(phase)), np.float32)
