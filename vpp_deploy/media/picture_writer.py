"""Write one picture."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.errors import OutputError
from vpp_deploy.files.outputs import OutputFile

KINDS: Final = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
_OPTIONS: Final = {"JPEG": {"quality": 92}, "PNG": {"compress_level": 1}, "WEBP": {"quality": 92}}


def write_picture(pixels: npt.NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a picture; it appears under its name when it is whole.

    Args:
        pixels: `[H, W, 3]` uint8 RGB.
        path: the target; its extension says the kind. An existing file is replaced.

    Raises:
        OutputError: another extension, a picture too large for the kind, or the target cannot be written.
    """
    content = encode_picture(pixels, path)
    output = OutputFile(path)
    try:
        output.write(content)
        output.commit()
    except BaseException:
        output.discard()
        raise


def picture_kind_of(path: str | os.PathLike[str]) -> str:
    """What kind of picture an extension stands for.

    Raises:
        OutputError: it is none of those that are written.
    """
    kind = KINDS.get(Path(path).suffix.lower())
    if kind is None:
        raise OutputError(
            f"{path}: the extension {Path(path).suffix!r} is none of {', '.join(KINDS)}; choose one of them"
        )
    return kind


def encode_picture(pixels: npt.NDArray[np.uint8], path: str | os.PathLike[str]) -> bytes:
    """The content of a picture file.

    Args:
        pixels: `[H, W, 3]` uint8 RGB.
        path: its name; the extension says the kind.

    Raises:
        OutputError: another extension, or a picture too large for the kind.
    """
    kind = picture_kind_of(path)
    content = BytesIO()
    try:
        Image.fromarray(pixels).save(content, kind, **_OPTIONS.get(kind, {}))
    except (OSError, ValueError) as error:  # a side beyond what the kind can have
        height, width = pixels.shape[:2]
        raise OutputError(f"{path}: {height}x{width} pixels do not become {kind} ({error}); choose .png") from error
    return content.getvalue()
