"""What a model of plain tensors runs on: an `.npz` file, or video and images where it takes those."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from os import PathLike
from pathlib import Path

from vpp_deploy.bundle.manifest import TensorSpec
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import UsageError
from vpp_deploy.files.arrays import ARRAYS
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.reader import read_video
from vpp_deploy.media.selection import ALL
from vpp_deploy.tasks.tensors.arrays import Column, open_arrays

Inputs = Mapping[str, Array]
"""The inputs of one frame by name."""


@contextmanager
def open_source(
    source: str | PathLike[str], manifest: TensorsManifest, max_frames: int | None = None
) -> Iterator[Iterator[Inputs]]:
    """The inputs, frame by frame, of a file.

    Args:
        source: an `.npz` file with an array `[frames, ...]` for each input; or a video or folder of images, for a model
            whose one input is a uint8 picture `[H, W, 3]` or `[1, H, W, 3]` (letterboxed).
        manifest: of the model.
        max_frames: stop after this many; None for all.

    Raises:
        VideoError: the file cannot be read.
        UsageError: it does not fit the model.
    """
    path = Path(source)
    if max_frames is not None and max_frames > sys.maxsize:
        raise UsageError(f"max_frames is {max_frames}; give at most {sys.maxsize}")
    if path.suffix.lower() == ARRAYS:
        if isinstance(source, InputFile) and source.stream is not None:
            raise UsageError(f"{path}: arrays have no video streams to choose from; leave stream {source.stream} out")
        if isinstance(source, InputFile) and source.selection != ALL:
            raise UsageError(f"{path}: of arrays all rows are read; leave start, end and every out")
        yield islice(_frames_of(path, manifest), max_frames)
        return
    picture = picture_input(manifest)
    if picture is None:
        raise UsageError(f"{source}: the model takes {_described(manifest)}; give an {ARRAYS} file of such arrays")
    height, width = picture.shape[-3:-1]
    with read_video(source, (height, width), max_frames=max_frames) as reader:
        yield ({picture.name: frame.image.reshape(picture.shape)} for frame in reader)


def picture_input(manifest: TensorsManifest) -> TensorSpec | None:
    """The input of a model that takes one picture a frame and nothing else; None for others."""
    if len(manifest.inputs) != 1:
        return None
    (spec,) = manifest.inputs
    is_picture = spec.dtype == "uint8" and spec.shape[-1] == 3 and len(spec.shape) in (3, 4)
    return spec if is_picture and spec.shape[:-3] in ((), (1,)) else None


def _frames_of(path: Path, manifest: TensorsManifest) -> Iterator[Inputs]:
    with open_arrays(path) as arrays:
        _check(path, arrays, manifest)
        rows = {name: column.rows() for name, column in arrays.items()}
        for values in zip(*rows.values(), strict=True):
            yield dict(zip(rows, values, strict=True))


def _check(path: Path, arrays: Mapping[str, Column], manifest: TensorsManifest) -> None:
    if sorted(arrays) != sorted(spec.name for spec in manifest.inputs):
        raise UsageError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; the model takes {_described(manifest)}"
        )
    for spec in manifest.inputs:
        array = arrays[spec.name]
        if array.dtype != spec.dtype or len(array.shape) < 1 or array.shape[1:] != spec.shape:
            raise UsageError(
                f"{path}: {spec.name} is {array.dtype} {list(array.shape)}; it must be {spec.dtype} "
                f"[frames, {', '.join(map(str, spec.shape))}]"
            )
    counts = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise UsageError(f"{path}: its arrays differ in length: {counts}; each needs one row per frame")


def _described(manifest: TensorsManifest) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {list(spec.shape)})" for spec in manifest.inputs)
