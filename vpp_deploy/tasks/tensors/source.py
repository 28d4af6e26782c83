"""What a model of plain tensors runs on: an `.npz` file, or video and images where it takes those."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np

from vpp_deploy.bundle.manifest import TensorSpec
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media.reader import read_video

Inputs = Mapping[str, Array]
"""The inputs of one frame by name."""
ARRAYS: Final = ".npz"


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
    if path.suffix.lower() == ARRAYS:
        yield islice(_frames_of(path, manifest), max_frames)
        return
    picture = picture_input(manifest)
    if picture is None:
        raise UsageError(f"{path}: the model takes {_described(manifest)}; give an {ARRAYS} file of such arrays")
    height, width = picture.shape[-3:-1]
    with read_video(path, (height, width), max_frames=max_frames) as reader:
        yield ({picture.name: frame.image.reshape(picture.shape)} for frame in reader)


def picture_input(manifest: TensorsManifest) -> TensorSpec | None:
    """The input of a model that takes one picture a frame and nothing else; None for others."""
    if len(manifest.inputs) != 1:
        return None
    (spec,) = manifest.inputs
    is_picture = spec.dtype == "uint8" and spec.shape[-1] == 3 and len(spec.shape) in (3, 4)
    return spec if is_picture and spec.shape[:-3] in ((), (1,)) else None


def _frames_of(path: Path, manifest: TensorsManifest) -> Iterator[Inputs]:
    arrays = _read(path)
    if sorted(arrays) != sorted(spec.name for spec in manifest.inputs):
        raise UsageError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; the model takes {_described(manifest)}"
        )
    for spec in manifest.inputs:
        array = arrays[spec.name]
        if array.dtype != spec.dtype or array.shape[1:] != spec.shape:
            raise UsageError(
                f"{path}: {spec.name} is {array.dtype} {list(array.shape)}; it must be {spec.dtype} "
                f"[frames, {', '.join(map(str, spec.shape))}]"
            )
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise UsageError(f"{path}: its arrays differ in length: {counts}; each needs one row per frame")
    for frame in range(next(iter(counts.values()))):
        yield {name: array[frame] for name, array in arrays.items()}


def _read(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            return {name: _array(archive, name) for name in archive.files}
    except FileNotFoundError as error:
        raise VideoError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition("\n")[0]
        raise VideoError(f"{path} cannot be read as a file of numpy arrays ({reason})") from error


def _array(archive: np.lib.npyio.NpzFile, name: str) -> Array:
    array = archive[name]
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of what is no array
        raise ValueError(f"{name} is not an array")
    return array


def _described(manifest: TensorsManifest) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {list(spec.shape)})" for spec in manifest.inputs)
