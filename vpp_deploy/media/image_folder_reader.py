"""Images, such as those of a folder, as a video."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vpp_deploy.errors import VideoError
from vpp_deploy.media.source import Picture

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

# Pillow's decoders raise these on damaged data, beside OSError (which covers most of it).
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


class Images:
    """Image files as the frames of a video without time.

    Args:
        files: in the order of the frames.
    """

    frame_rate: Fraction | None = None
    time_base: Fraction | None = None
    problem: str | None = None

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.frame_count: int | None = len(files)

    def pictures(self) -> Iterator[Picture]:
        """Decode one image after the other, EXIF orientation applied. Raises `VideoError` naming a broken file."""
        for file in self.files:
            yield Picture(_decode(file), name=file.name)

    def close(self) -> None:
        """Nothing to release: each image is closed after decoding."""


def images_of(folder: Path) -> Images:
    """The images of a folder in natural order: `2.png` comes before `10.png`. Hidden files are left out.

    Raises:
        VideoError: the folder has no images, or cannot be listed.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise VideoError(f"{folder}: cannot list this folder: {error.strerror}; check its permissions") from error
    files = [file for file in entries if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    if not files:
        kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise VideoError(f"{folder}: no images in this folder; give a video file, or a folder of {kinds} files")
    return Images(sorted(files, key=lambda file: natural_order(file.name)))


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key in which runs of digits compare as numbers and letters without case."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def _decode(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise VideoError(f"{file}: more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except _DAMAGED as error:
        raise VideoError(f"{file}: not a readable image ({error}); replace it or leave it out") from error
