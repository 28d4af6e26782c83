"""A video without an end, for measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Final

import numpy as np

from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import VideoError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.reader import read_video
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.workload import DISTINCT

_CELL: Final = 32
"""Pixels of a square of one colour in synthetic frames: noise of single pixels looks like no picture at all."""


class VideoWorkload:
    """One video session, frame after frame; after the last frame comes the first, and the video goes on.

    Args:
        engine: any engine.
        source: video file or folder of images, of which the first frames are used; None makes some up.

    Raises:
        VideoError: the source cannot be read.
    """

    items = 1
    unit = "frames"

    def __init__(self, engine: Engine, source: str | os.PathLike[str] | None) -> None:
        self._session = VideoSession(engine)
        self._frames = _synthetic(engine.frame_size) if source is None else _read(source, engine.frame_size)
        self._numbers = count()

    def __call__(self) -> Mapping[str, float]:
        """Run the next frame."""
        number = next(self._numbers)
        return self._session(replace(self._frames[number % len(self._frames)], index=number)).seconds


def _read(source: str | os.PathLike[str], size: Size) -> list[Frame]:
    with read_video(source, size, max_frames=DISTINCT) as reader:
        if not (frames := list(reader)):
            raise VideoError(f"{source}: there is no frame in it")
        return frames


def _synthetic(size: Size) -> list[Frame]:
    generator = np.random.default_rng(0)
    cells = [-(-length // _CELL) for length in size]
    frames = []
    for number in range(DISTINCT):
        colours = generator.integers(0, 256, (*cells, 3), np.uint8)
        image = np.ascontiguousarray(colours.repeat(_CELL, 0).repeat(_CELL, 1)[: size[0], : size[1]])
        frames.append(Frame(image, size, image, number))
    return frames
