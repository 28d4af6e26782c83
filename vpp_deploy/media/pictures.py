"""One picture file, decoded into upright RGB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from vpp_deploy.errors import DependencyError, VideoError
from vpp_deploy.files import interrupts
from vpp_deploy.files.reading import open_regular
from vpp_deploy.media.kinds import ANIMATED, HEAD, KINDS, bits_per_channel, picture_kind
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS, missing_decoder, open_image, quiet

Pixels = npt.NDArray[np.uint8]
"""`[H, W, 3]` RGB."""

_FIRST_ALONE: Final = "more pictures or pages than one, of which the first alone counts"
_TRANSPARENT: Final = "transparent in places, where the hidden colours count"
_DEEP: Final = "more than 8 bits per channel, of which the upper 8 count"

_TURNS: Final[dict[int, Callable[[Pixels], Pixels]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}
"""What brings a picture of each EXIF orientation upright."""
_LONGEST: Final = 1e9
"""Milliseconds that a picture of a film can be shown."""
_BAND: Final = 1 << 22
"""Pixels that are converted at once."""
_ORIENTATION: Final = 0x0112
_BITS_PER_SAMPLE: Final = 258
_KIND_OF_SUBFILE, _DNG_VERSION = 254, 50706
_REDUCED: Final = 1
"""Bit of the kind of a TIFF's picture that says that it is a preview."""
_GREY: Final = ("1", "F", "I", "L")
"""How the modes of pictures without colour begin."""
_GREY_PNG: Final = (b"\0", b"\4")
"""Colour types of PNG, without and with transparency; Pillow has colour modes for the latter."""


class PictureFile:
    """An open picture file. Its content says what it is, not its name.

    Attributes:
        path: of the file.
        count: of the pictures in it, pages included.
        animated: whether they are a film.

    Args:
        path: of the file.
        max_pixels: the most pixels that are decoded.

    Raises:
        VideoError: the file is missing, no picture, damaged, or has more pixels than `max_pixels`.
        DependencyError: there is no decoder for its kind.
    """

    def __init__(self, path: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._file = open_regular(path, VideoError, what="image")
        try:
            with self._decoding():
                self._head = self._file.read(HEAD)
                self._file.seek(0)
            self._kind = self._decodable_kind()
            with self._decoding():
                self._image = open_image(self._file, self._kind)
                self.count = int(getattr(self._image, "n_frames", 1))
            self._check_size()
            self._check_whole()
        except BaseException:
            self._file.close()
            raise
        self.animated = self.count > 1 and self._kind in ANIMATED

    def read(self, notes: Notes) -> Pixels:
        """The picture, the first of several: `[H, W, 3]` uint8 RGB, upright. What was left out of it goes to `notes`.

        Raises:
            VideoError: the file is damaged, or grey with more than 8 bits.
        """
        if self.count > 1 and self._kind != "JPEG":  # a camera puts previews and depth behind the picture
            notes.add(_FIRST_ALONE, self.path.name)
        return self._rgb(notes)

    def film(self, notes: Notes) -> Iterator[tuple[Pixels, float]]:
        """The pictures in order, each as `read` has it and with the milliseconds for which it is shown, 0 for unknown.

        Raises:
            VideoError: as `read`, or there are fewer than `count`.
        """
        # A PNG may have a picture in front of the film, for programs that show none.
        for number in range(bool(getattr(self._image, "default_image", False)), self.count):
            with self._decoding():
                self._image.seek(number)
            pixels = self._rgb(notes)
            shown = self._image.info.get("duration")  # which can be a text of that name, too
            yield pixels, float(shown) if isinstance(shown, int | float) and 0 < shown < _LONGEST else 0.0

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _decodable_kind(self) -> str:
        kind = picture_kind(self._head)
        if kind is None:
            why = f"none of {KINDS}" if self._head else "the file is empty"
            raise VideoError(f"{self.path}: not a readable image ({why}); replace it or leave it out")
        if remedy := missing_decoder(kind):
            raise DependencyError(
                f"{self.path}: no decoder for {kind} pictures is installed; {remedy}, or convert it to PNG"
            )
        return kind

    def _rgb(self, notes: Notes) -> Pixels:
        name, image = self.path.name, self._image
        with self._decoding():
            image.load()
            if isinstance(image.info.get("transparency"), str):  # a text of that name
                del image.info["transparency"]
            grey = image.mode.startswith(_GREY) or (self._kind == "PNG" and self._head[25:26] in _GREY_PNG)
            deep = self._bits() > 8 or image.mode.startswith(("I", "F"))
            hiding = image.has_transparency_data and _least_opacity(image) < 255
            turn = _TURNS.get(_orientation(image))
        self._check_size()
        if deep and grey:
            raise VideoError(
                f"{self.path}: more than 8 bits per channel in grey (mode {image.mode}); convert it to 8 bits"
            )
        if deep:
            notes.add(_DEEP, name)
        if hiding:
            notes.add(_TRANSPARENT, name)
        with self._decoding():
            pixels = _rgb(image)
        return pixels if turn is None else np.ascontiguousarray(turn(pixels))

    def _bits(self) -> int:
        if self._kind == "TIFF":
            bits = self._image.tag_v2.get(_BITS_PER_SAMPLE, 8)
            return int(max(bits) if isinstance(bits, tuple) else bits)
        if self._kind == "HEIF":
            return int(self._image.info.get("bit_depth", 8))
        return bits_per_channel(self._kind, self._head)

    def _check_size(self) -> None:
        width, height = self._image.size
        if width * height > self._max_pixels:
            raise VideoError(f"{self.path}: {self._beyond(width * height)}")

    def _check_whole(self) -> None:
        if self._kind != "TIFF":
            return
        with self._decoding():
            tags = self._image.tag_v2
            raw = self._head[8:10] == b"CR" or _DNG_VERSION in tags or int(tags.get(_KIND_OF_SUBFILE, 0)) & _REDUCED
        if raw:
            raise VideoError(
                f"{self.path}: a camera's raw file, of which only the preview could be read; convert it to JPEG or PNG"
            )

    def _beyond(self, pixels: int) -> str:
        return (
            f"{pixels} pixels are more than the limit of {self._max_pixels}; make the picture smaller, or if you trust "
            f"its source, raise the limit with --max-pixels {pixels}"
        )

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            with quiet(self._max_pixels):
                yield
        except Image.DecompressionBombError as error:
            found = re.search(r"\((\d+) pixels\)", str(error))
            pixels = int(found[1]) if found else 2 * self._max_pixels
            raise VideoError(f"{self.path}: {self._beyond(pixels)}") from error
        except Exception as error:  # decoders raise whatever they trip over on damaged data
            interrupts.let_pass(error)
            reason = str(error).partition("\n")[0] or type(error).__name__
            if isinstance(error, UnidentifiedImageError):  # whose words are of an object in Python
                reason = f"its {self._kind} header is damaged"
            raise VideoError(f"{self.path}: not a readable image ({reason}); replace it or leave it out") from error


def _rgb(image: Any) -> Pixels:
    """What `image.convert("RGB")` gives, band by band: the whole of a panorama once more would be much memory."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image if rows >= height else image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = band if band.mode == "RGB" else band.convert("RGB")
    return pixels


def _least_opacity(image: Any) -> int:
    with_opacity = image if "A" in image.getbands() else image.convert("RGBA")
    return int(with_opacity.getchannel("A").getextrema()[0])


def _orientation(image: Any) -> Any:
    """The EXIF orientation, 1 where the metadata is damaged: it may be, and the picture counts all the same."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return value if isinstance(value, int) else 1
    except Exception as error:  # of metadata that nobody needs, as above
        interrupts.let_pass(error)
        return 1
