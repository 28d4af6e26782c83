"""What a model is shown while it is quantised: clips, some of them held out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.manifest import FrameManifest, Manifest
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media.kinds import IMAGE_SUFFIXES
from vpp_deploy.media.reader import read_video
from vpp_deploy.tasks import open_session
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.tensors.source import open_source
from vpp_deploy.terminal.console import counted

FEWEST: Final = 8
"""Frames or images that ranges, or errors, are measured on at least."""
_RESTART: Final = 8
"""Of so many frames, one also begins a stream of its own: the first graph of a video would see one frame else."""
_SHORTEST: Final = 8
"""Frames of a clip, of models with state: that fills while a clip runs, which the begins of many would not show."""
_EVERY: Final = 4
"""Of so many clips, or quarters of one clip, one is held out."""

Clip = Sequence[Any]
"""Frames of one video, images, or inputs of a model of plain tensors, in order."""


@dataclass(frozen=True)
class Data:
    """Clips for both purposes.

    Attributes:
        calibration: ranges are measured on these.
        held_out: errors are measured on these; empty unless asked for.
    """

    calibration: Sequence[Clip]
    held_out: Sequence[Clip]


def read_data(path: Path, manifest: Manifest, frames: int, *, hold_out: bool) -> Data:
    """Read frames, evenly from all clips, or from as many as there are frames for.

    Args:
        path: what a session of the model runs on, or a folder of such: videos, folders of images.
        manifest: of the model.
        frames: how many at most, in all.
        hold_out: keep every fourth clip, or the last quarter of a single one, for errors.

    Raises:
        VideoError: a file cannot be read; there are too few frames.
        UsageError: arrays that do not fit the model; fewer frames are allowed than it takes.
    """
    least, why, what = check_frames(frames, manifest, hold_out=hold_out)
    sources = _sources(path)
    shortest = _SHORTEST if len(manifest.roles) > 1 else 1
    chosen = sources[:: -(-len(sources) // max(1, frames // shortest))]
    clips: list[Clip] = []
    left = frames
    for number, source in enumerate(chosen):
        with _open(source, manifest, -(-left // (len(chosen) - number))) as reader:
            clips.append(list(reader))
        left -= len(clips[-1])
    if (found := sum(map(len, clips))) < least:
        raise VideoError(
            f"{path} has {counted(found, what)}, and to quantise a model{why} takes at least {least}: give more"
        )
    if not hold_out:
        return Data(clips, [])
    if len(clips) < _EVERY:
        clips = [part for clip in clips for part in _quarters(clip)]
    held_out = clips[_EVERY - 1 :: _EVERY]
    return Data([clip for number, clip in enumerate(clips) if number % _EVERY != _EVERY - 1], held_out)


def check_frames(frames: int, manifest: Manifest, *, hold_out: bool) -> tuple[int, str, str]:
    """See that enough frames are allowed.

    Args:
        frames: how many at most, in all.
        manifest: of the model.
        hold_out: some are kept for errors.

    Returns:
        The fewest that it takes, and for messages why, and what they are.

    Raises:
        UsageError: fewer are allowed.
    """
    least = FEWEST * (_EVERY if hold_out else 1)
    why = " within a bound (--auto; a quarter is held out)" if hold_out else ""
    what = "image" if isinstance(manifest, ClassificationManifest) else "frame"
    if frames < least:
        raise UsageError(f"{frames} frames are not enough to quantise a model{why}: allow at least {least}")
    return least, why, what


def run_clips(engine: Engine, clips: Sequence[Clip], *, restart: bool) -> Iterator[int]:
    """Run clips, each in a session of its own.

    Args:
        engine: whose observer looks on.
        clips: what to run.
        restart: also begin new streams within clips, for the first graph.

    Yields:
        How many frames are done, one after the other.
    """
    done = 0
    restart &= len(engine.manifest.roles) > 1
    for clip in clips:
        session = open_session(engine)
        if isinstance(engine.manifest, ClassificationManifest):
            for _ in session.run(clip):
                yield (done := done + 1)
            continue
        for number, frame in enumerate(clip):
            session(frame)
            if restart and number and number % _RESTART == 0:
                open_session(engine)(frame)
            yield (done := done + 1)


def _sources(path: Path) -> list[Path]:
    """The path, or what is in a folder that holds no pictures itself."""
    if not path.is_dir():
        return [path]
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries):
        return [path]
    folders = [entry for entry in entries if entry.is_dir()]
    if len(folders) == 1 and not any(entry.is_file() and entry.suffix.lower() != ".json" for entry in entries):
        return _sources(folders[0])  # such as JPEGImages of a data set
    found = folders or [entry for entry in entries if entry.is_file()]
    if not found:
        raise VideoError(f"{path} is empty: give a video, a folder of images, or a folder of those")
    return found


def _open(source: Path, manifest: Manifest, frames: int) -> AbstractContextManager[Iterator[Any]]:
    if isinstance(manifest, ClassificationManifest):
        return read_pictures(source, manifest, frames)
    if isinstance(manifest, TensorsManifest):
        return open_source(os.fspath(source), manifest, frames)
    assert isinstance(manifest, FrameManifest)
    return read_video(source, manifest.frame_size, max_frames=frames)


def _quarters(clip: Clip) -> list[Clip]:
    size = -(-len(clip) // _EVERY)
    rest = iter(clip)
    return [part for part in (list(islice(rest, size)) for _ in range(_EVERY)) if part]
