"""A picture however a Python program has it: an array, Pillow's image, or a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from vpp_deploy.errors import UsageError
from vpp_deploy.files import interrupts
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pictures import PictureFile

Picture = npt.ArrayLike | Image.Image | str | os.PathLike[str]
"""`[H, W, 3]`, `[H, W, 4]` (the alpha is left out), `[H, W]` or `[H, W, 1]` (grey) uint8; or an image; or a file."""


def to_pixels(picture: Picture, *, bgr: bool = False) -> npt.NDArray[np.uint8]:
    """A picture as `[H, W, 3]` uint8 RGB, upright, in memory of its own.

    Args:
        picture: see `Picture`. An array in memory is taken as it is; images of Pillow are turned as their EXIF says.
        bgr: the channels of an array are blue, green, red, as OpenCV has them.

    Raises:
        UsageError: no picture; another type than uint8, which says nothing of the range; channels first.
        VideoError: the file is missing, no picture, or damaged.
    """
    if isinstance(picture, str | os.PathLike):
        with PictureFile(Path(picture)) as file:
            return file.read(Notes(file.path))
    if isinstance(picture, Image.Image):
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    return _from_array(_as_array(picture), bgr)


def check_pictures(source: object) -> None:
    """See that what a user gave is pictures one after the other, and not one picture, whose rows it would go through.

    Raises:
        UsageError: it is one picture, or could be, or nothing that one can go through.
    """
    shape = getattr(source, "shape", ())
    shape = shape if isinstance(shape, tuple) else ()
    first, last = (bool(shape) and shape[end] in (1, 3, 4) for end in (0, -1))
    if isinstance(source, Image.Image) or len(shape) in (1, 2) or (len(shape) == 3 and last):
        what = "an image of Pillow" if isinstance(source, Image.Image) else f"{list(shape)}"
        raise UsageError(f"source is one picture, {what}: use model(picture), or [picture]")
    if len(shape) == 3 and first:
        raise UsageError(
            f"source is {list(shape)}, one picture with its channels first or {shape[0]} grey ones: use model(picture) "
            "with the channels last, or list(pictures)"
        )
    if isinstance(source, bytes | bytearray | memoryview) or not isinstance(source, Iterable):
        name = type(source).__name__
        raise UsageError(f"source is of type {name}; give a path, an address, the number of a camera, or pictures")


def _as_array(picture: Any) -> npt.NDArray[Any]:
    try:
        array = np.asarray(picture)
    except Exception as error:  # whatever somebody's __array__ raises: a tensor on a GPU, a ragged list
        interrupts.let_pass(error)
        raise UsageError(
            f"a picture as {type(picture).__name__} cannot become an array ({' '.join(str(error).split()):.200})"
        ) from error
    if array.dtype == np.object_:
        raise UsageError(
            f"a picture as {type(picture).__name__} is none; give [H, W, 3] in uint8, an image of Pillow or a file"
        )
    return array


def _from_array(array: npt.NDArray[Any], bgr: bool) -> npt.NDArray[np.uint8]:
    described = f"a picture of {array.dtype} {list(array.shape)}"
    if array.dtype != np.uint8:
        raise UsageError(
            f"{described}: give uint8, 0 to 255; of floats in [0, 1]: (picture * 255).round().astype('uint8')"
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape or array.shape[2] not in (1, 3, 4):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; channels come last: picture.transpose(1, 2, 0)" if first else ""
        raise UsageError(f"{described}: give [H, W, 3]" + ("; several come one by one" if array.ndim == 4 else hint))
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    array = array[:, :, 2::-1] if bgr else array[:, :, :3]
    return np.array(array, order="C")  # a copy: the array may be a buffer that gets the next picture
