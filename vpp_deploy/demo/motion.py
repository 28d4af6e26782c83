"""How things move through a synthetic scene: positions, angles and sizes, frame by frame."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Size

Array = npt.NDArray[np.float64]

_EDGE = 0.35  # how near to the frame's edge a centre comes before it turns back, as a share of the diameter
_TURN_OF_COURSE = 3.0  # most degrees by which the course changes from frame to frame
_LONGEST_WAIT = 0.4  # latest moment at which a thing enters or turns up, as a share of the clip
_PULSE = 0.2  # by how much the size changes at most


class Motion(NamedTuple):
    """Where a thing is in each of T frames.

    Attributes:
        centres: `[T, 2]` (y, x) in pixels.
        degrees: `[T]`.
        scales: `[T]`, 1 = the sprite's own size.
        first: the frame in which the thing turns up.
    """

    centres: Array
    degrees: Array
    scales: Array
    first: int

    def step(self, index: int) -> tuple[Array, float]:
        """How much the centre and the angle change from frame to frame about a frame, on the average of both sides."""
        before, after = max(0, index - 1), min(len(self.degrees) - 1, index + 1)
        frames = max(1, after - before)
        way = self.centres[after] - self.centres[before]
        return np.asarray(way / frames), float(self.degrees[after] - self.degrees[before]) / frames


def roaming(
    frames: int, size: Size, start: Array, diameter: float, speed: float, spin: float, rng: np.random.Generator
) -> Motion:
    """Through the frame on a slightly bent course, and back from its edges.

    Args:
        frames: T.
        size: height and width of the frame in pixels.
        start: (y, x) of the first frame, in pixels.
        diameter: of the thing in pixels.
        speed: pixels per frame.
        spin: degrees per frame.
        rng: everything else comes from it.
    """
    begin, bend = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(-_TURN_OF_COURSE, _TURN_OF_COURSE))
    course = begin + bend * np.arange(frames)
    steps = speed * np.stack([np.sin(course), np.cos(course)], axis=1)
    way = start + np.cumsum(steps, axis=0) - steps[0]
    centres = np.stack([_fold(way[:, axis], _EDGE * diameter, size[axis]) for axis in range(2)], axis=1)
    return Motion(centres, *_turning(frames, spin, rng), first=0)


def entering(frames: int, size: Size, diameter: float, speed: float, spin: float, rng: np.random.Generator) -> Motion:
    """In from beyond an edge that is chosen at random; arguments as for `roaming`."""
    axis = int(rng.integers(2))
    margin = _EDGE * diameter
    tilt = math.radians(rng.uniform(-40, 40))
    inward, sideways = speed * math.cos(tilt), speed * math.sin(tilt)
    time = np.arange(frames, dtype=np.float64)
    way = inward * (time - rng.uniform(0, _LONGEST_WAIT) * frames) - diameter / 2
    along = np.where(way > margin, _fold(way, margin, size[axis]), way)
    across = _fold(rng.uniform(margin, max(margin, size[1 - axis] - margin)) + sideways * time, margin, size[1 - axis])
    if rng.random() < 0.5:
        along = size[axis] - along
    centres = np.stack([along, across] if axis == 0 else [across, along], axis=1)
    return Motion(centres, *_turning(frames, spin, rng), first=0)


def leaving(frames: int, size: Size, diameter: float, speed: float, spin: float, rng: np.random.Generator) -> Motion:
    """Out beyond an edge: entering, backwards in time."""
    motion = entering(frames, size, diameter, speed, spin, rng)
    return motion._replace(centres=motion.centres[::-1])


def late(motion: Motion, rng: np.random.Generator) -> Motion:
    """The same, but not there before some moment of the clip."""
    return motion._replace(first=int(rng.uniform(0.2, _LONGEST_WAIT) * len(motion.degrees)))


def pan(frames: int, reach: float, speed: float, rng: np.random.Generator) -> Array:
    """Offsets `[T, 2]` of a camera that swings slowly: at most `reach` pixels away, at most `speed` per frame."""
    pace = rng.uniform(0.3, 1, 2) * speed / reach
    phase = rng.uniform(0, 2 * math.pi, 2)
    return np.asarray(reach * np.sin(pace * np.arange(frames)[:, None] + phase))


def _turning(frames: int, spin: float, rng: np.random.Generator) -> tuple[Array, Array]:
    time = np.arange(frames, dtype=np.float64)
    degrees = rng.uniform(0, 360) + spin * time
    scales = 1 + _PULSE * rng.uniform(0.3, 1) * np.sin(rng.uniform(0.05, 0.2) * time + rng.uniform(0, 2 * math.pi))
    return degrees, scales


def _fold(way: Array, margin: float, length: int) -> Array:
    """A straight way, reflected wherever it comes nearer than `margin` to either end of `length`."""
    room = max(1.0, length - 2 * margin)
    position = (way - margin) % (2 * room)
    return np.asarray(margin + np.minimum(position, 2 * room - position))
