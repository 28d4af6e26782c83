"""Hard cuts in a film: frames that share neither the layout nor the colours of the one before.

Both are needed. A flash or a fade changes the colours and keeps the layout; what passes close to the camera changes the
layout and keeps most colours. `docs/scene_cuts.md` has what was measured.
"""

from __future__ import annotations

import codecs
import math
import os
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.frames import Frame
from vpp_deploy.media.reader import VideoReader

AUTO: Final = "auto"
OFF: Final = "off"
THRESHOLD: Final = 0.42
"""How unlike the frame before a frame is that begins a new scene, see `difference`."""

_CELLS: Final = (8, 12)
"""Rows and columns of the layout: coarse, so that what moves mostly stays in its cell."""
_SAMPLES: Final = 8
"""Pixels of a cell that are looked at, along each axis."""
_SHADES: Final = 8
"""Of each colour channel, in the histogram."""
_WEIGHTS: Final = np.array((_SHADES**2, _SHADES, 1), np.int64)
_BLACK: Final = 24
"""Of 255: what is no brighter may belong to a bar."""
_MOST_BYTES: Final = 16_000_000


class Cuts(Protocol):
    """Says of each frame of a video, in order, whether a new scene begins with it. The first frame begins none."""

    def __call__(self, frame: Frame) -> bool:
        """Whether there is a cut before this frame."""
        ...


class CutDetector:
    """Finds hard cuts from the frames alone, each when it comes. One video, one detector.

    Args:
        threshold: see `THRESHOLD`.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._before: Look | None = None

    def __call__(self, frame: Frame) -> bool:
        """Whether there is a cut before this frame."""
        height, width = frame.content_size
        before, self._before = self._before, Look(frame.image[:height, :width])
        return before is not None and difference(before, self._before) > self._threshold


class ListedCuts:
    """Cuts that are known.

    Args:
        frames: index of the first frame of each scene; 0 may be left out.
    """

    def __init__(self, frames: frozenset[int] = frozenset()) -> None:
        self._frames = frames - {0}

    def __call__(self, frame: Frame) -> bool:
        """Whether there is a cut before this frame."""
        return frame.index in self._frames


def open_cuts(setting: str | None, reader: VideoReader) -> Cuts:
    """What says where the cuts of a video are.

    Args:
        setting: `auto` detects them, `off` has none, all else is a file (see `read_cuts`); None detects them in films
            and has none in images.
        reader: of the video.

    Raises:
        VideoError: the file cannot be read, or is no list of frames.
        UsageError: the setting is empty.
    """
    if setting == "":
        raise UsageError(f"scene cuts: an empty name; give {AUTO}, {OFF} or a file with the numbers of frames")
    if setting == AUTO or (setting is None and reader.time_base is not None):
        return CutDetector()
    if setting in (None, OFF):
        return ListedCuts()
    if setting.casefold() in (AUTO, OFF) and not os.path.lexists(setting):
        raise UsageError(f"scene cuts {setting!r}: there is no such file, and the word is {setting.casefold()}")
    return ListedCuts(read_cuts(Path(setting)))


def read_cuts(path: Path) -> frozenset[int]:
    """The frames that begin scenes: a text file with one number a line, counted from 0. Empty lines do not count.

    Raises:
        VideoError: the file cannot be read, or a line is something else.
    """
    content = read_bytes(path, VideoError, what="list of scene cuts", limit=_MOST_BYTES)
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if (text := line.strip()) and not (text.isdigit() and len(text) < 16):
            shown = repr(text[:40].decode(errors="replace"))
            raise VideoError(
                f"the list of scene cuts {path}, line {number}: {shown} is not the number of a frame; give one a line, "
                "counted from 0"
            )
    return frozenset(int(line) for line in lines if line.strip())


class Look:
    """What a frame is compared by.

    Attributes:
        pixels: `[64, 96, 3]` uint8, evenly taken from the picture.
        rows: `[64]`, which rows of them are not black.
        columns: `[96]`, which columns are not black.
        layout: `[8, 12, 3]` float32, mean colour of each cell, less the mean of all.
        colours: `[512]` float64, share of the pixels of each colour.

    Args:
        picture: `[H, W, 3]` uint8.
    """

    def __init__(self, picture: npt.NDArray[np.uint8]) -> None:
        rows, columns = (
            (np.arange(cells * _SAMPLES) * 2 + 1) * length // (2 * cells * _SAMPLES)
            for cells, length in zip(_CELLS, picture.shape[:2], strict=True)
        )
        self.pixels = picture[rows][:, columns]
        self.rows, self.columns = (self.pixels.max(axes) > _BLACK for axes in ((1, 2), (0, 2)))
        by_cell = self.pixels.reshape(_CELLS[0], _SAMPLES, _CELLS[1], _SAMPLES, 3)
        cells = by_cell.mean((1, 3), dtype=np.float32)
        self.layout: npt.NDArray[np.float32] = cells - cells.mean((0, 1))
        bins = (self.pixels // (256 // _SHADES)) @ _WEIGHTS
        self.colours: npt.NDArray[np.float64] = np.bincount(bins.ravel(), minlength=_SHADES**3) / bins.size


def difference(before: Look, after: Look) -> float:
    """How unlike two frames are, 0 (alike) to 1.4: the geometric mean of what their layouts and colours do not share.

    Of the layouts that is one minus their correlation, in [0, 2]; of the colours one minus what their histograms have
    in common, in [0, 1]. Black bars at the borders, which films have in common, count in neither.
    """
    rows, columns = (np.flatnonzero(x | y) for x, y in ((before.rows, after.rows), (before.columns, after.columns)))
    if not len(rows):
        return 0.0
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    if before.pixels[window].size < before.pixels.size:
        before, after = Look(before.pixels[window]), Look(after.pixels[window])
    a, b = before.layout, after.layout
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    layout = 1 - float((a * b).sum()) / scale if scale > 0 else float(a.any() or b.any())
    colours = 1 - float(np.minimum(before.colours, after.colours).sum())
    return math.sqrt(max(0.0, layout) * max(0.0, colours))
