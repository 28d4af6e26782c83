"""Real frames with what the model found in them, and which patches each stage kept."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.kinds import HEAD, is_film
from vpp_deploy.report.text import shown
from vpp_deploy.tasks.classification.model import ClassificationModel
from vpp_deploy.tasks.segmentation.model import SegmentationModel

_WIDTH: Final = 880
_STAGE_WIDTH: Final = 240
_PRUNED: Final = 0.2
"""What is left of the colours of a pruned patch."""
_GREY: Final = 84
_NAMED: Final = 6
"""Objects or labels that a caption names."""
_MOST_VIDEO: Final = 64_000_000


@dataclass(frozen=True)
class Shown:
    """A picture for the page.

    Attributes:
        url: `data:` address of its content.
        size: height and width in pixels.
        text: what it shows.
    """

    url: str
    size: Size
    text: str


@dataclass(frozen=True)
class Moment:
    """One frame, or one picture of a classifier.

    Attributes:
        title: its place in the source.
        whole: the overlay.
        stages: what each selection point kept, in the order of the blocks.
        found: what the model found, a line each.
    """

    title: str
    whole: Shown
    stages: tuple[Shown, ...]
    found: tuple[str, ...]


def run_frames(engine: Engine, source: InputFile, count: int) -> tuple[Moment, ...]:
    """Run a model on the first frames of a video, or on the first images.

    Args:
        engine: of a model for instance segmentation or a classifier.
        source: what to run on.
        count: how many frames, images or clips at most.

    Raises:
        UsageError: a model of plain tensors.
        VideoError: the source cannot be read.
        EngineOutputError: the engine gives NaN or infinity.
    """
    if engine.manifest.task not in SHOWS:
        raise UsageError(f"--input: {engine.manifest.model.name} takes no pictures; leave the option out")
    moments = SHOWS[engine.manifest.task](engine, source, count)
    return tuple(moment for moment, _ in zip(moments, range(count), strict=False))


def video_url(path: Path) -> str:
    """A video that browsers play, such as `infer` writes, as a `data:` address.

    Raises:
        UsageError: it is no MP4 by its name.
        VideoError: it cannot be read, is no video, or has more than 64 MB.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(f"--video {shown(path)}: not every browser plays that; give an .mp4, as `infer -o` writes")
    content = read_bytes(path, VideoError, what="video", limit=_MOST_VIDEO)
    if not is_film(content[:HEAD]):
        raise VideoError(f"{path} is no video; give one that `infer -o` wrote")
    return f"data:video/mp4;base64,{b64encode(content).decode()}"


def _tracked(engine: Engine, source: InputFile, count: int) -> Iterator[Moment]:
    for result in SegmentationModel(engine).track(source, max_frames=count):
        found = [f"#{one.identity} {one.name} {one.score:.2f}" for one in result]
        grids = {name: (result.grid, positions) for name, positions in result.kept.items()}
        assert result.frame is not None
        note = "a new scene begins" if result.cut else ""
        yield _moment(result.frame, result.plot(header=False), grids, found, note)


def _classified(engine: Engine, source: InputFile, count: int) -> Iterator[Moment]:
    model = ClassificationModel(engine, top=3)
    clip = model.manifest.clip
    images = count if clip is None else count * clip.frames * clip.sampling
    grids = {point.name: point.grid for point in model.manifest.pruning_points}
    for result in model.run(source, max_frames=images):
        found = [f"{name} {score:.2f}" for name, score in zip(result.names, result.scores.tolist(), strict=True)]
        kept = {name: (grids[name], positions) for name, positions in result.kept.items()}
        yield _moment(result.sample[0], result.plot(header=False), kept, found, "")


def _moment(
    frame: Frame,
    overlay: npt.NDArray[np.uint8],
    kept: Mapping[str, tuple[tuple[int, ...], npt.NDArray[np.int32]]],
    found: list[str],
    note: str,
) -> Moment:
    title = frame.name or f"frame {frame.index}"
    title += f", {float(frame.time):.2f} s" if frame.time is not None else ""
    names = found[:_NAMED] + ([f"and {len(found) - _NAMED} more"] if len(found) > _NAMED else [])
    said = ", ".join(names) or "nothing"
    stages = tuple(
        _shown(
            _kept_patches(frame, grid[-2:], positions),
            _STAGE_WIDTH,
            f"{name}: {len(positions)} of {prod(grid)} kept, {100 * len(positions) / prod(grid):.1f}%",
        )
        for name, (grid, positions) in kept.items()
    )
    return Moment(
        f"{title}: {note}" if note else title, _shown(overlay, _WIDTH, f"{title}, found: {said}"), stages, tuple(names)
    )


def _kept_patches(frame: Frame, grid: Any, positions: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """The picture as the model sees it, its pruned patches grey; of a clip the patches of its first frames."""
    rows, columns = grid
    (height, width), content = frame.image.shape[:2], frame.content_size
    kept = np.zeros(rows * columns, np.bool_)
    kept[positions[positions < rows * columns]] = True
    where = kept.reshape(rows, columns)[
        np.arange(height)[:, None] * rows // height, np.arange(width) * columns // width
    ]
    pruned = (_PRUNED * frame.image + (1 - _PRUNED) * _GREY).astype(np.uint8)
    picture = np.where(where[..., None], frame.image, pruned)
    return picture[: content[0], : content[1]]


def _shown(pixels: npt.NDArray[np.uint8], width: int, text: str) -> Shown:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.width > width:
        size = width, max(1, round(picture.height * width / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=84)
    url = f"data:image/jpeg;base64,{b64encode(data.getvalue()).decode()}"
    return Shown(url, (picture.height, picture.width), text)


SHOWS: Final = {"segmentation": _tracked, "classification": _classified}
"""How the pictures of each task are made, of those that take pictures."""
