"""A frame as a client sends it: raw, letterboxed, or as a JPEG; with its number and what else it says of itself."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.image_input import to_pixels
from vpp_deploy.media.kinds import HEAD, picture_kind
from vpp_deploy.media.letterbox import content_size, letterbox
from vpp_deploy.media.pillow import DEFAULT_MAX_PIXELS, open_image, quiet

KINDS: Final = ("JPEG", "PNG", "WEBP")
"""Of encoded pictures."""
_SIZE: Final = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
_MOST_NUMBER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Details:
    """What a request says beside the picture, as parameters.

    Attributes:
        number: the client's count of the stream's frames (`number`); None if it does not count.
        original_size: height and width of the picture that a letterboxed frame was made of (`original_size`, such as
            `1080x1920`); None: the frame is the picture.
        resume: with a start, go on from a snapshot (`resume`).
    """

    number: int | None = None
    original_size: Size | None = None
    resume: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Details:
        """From a request's parameters; those of other names are left aside.

        Raises:
            UsageError: one is of another type or form.
        """
        number, size, resume = (parameters.get(name) for name in ("number", "original_size", "resume"))
        if number is not None and (type(number) is not int or abs(number) > _MOST_NUMBER):
            raise UsageError(f"parameter number is {number!r:.80}; it is a whole number")
        if resume is not None and type(resume) is not bool:
            raise UsageError(f"parameter resume is {resume!r:.80}; it is true or false")
        return cls(number, None if size is None else _size(size), bool(resume))


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """A frame on its way to its stream.

    Attributes:
        stream: the stream's name.
        pixels: `[H, W, 3]` uint8 RGB, or the bytes of a picture.
        details: what else the request says.
        is_cancelled: whether the client wants it no more.
    """

    stream: str
    pixels: npt.NDArray[np.uint8] | bytes
    details: Details
    is_cancelled: Callable[[], bool] = lambda: False

    def at(self, index: int, size: Size) -> Frame:
        """The frame at the model's size.

        Args:
            index: its position in the stream.
            size: height and width that the model takes.

        Raises:
            VideoError: it is no picture, or damaged.
            UsageError: an array that is no picture; `original_size` with a frame of another size than the model's, or
                such a size that its picture would not fill the frame.
        """
        pixels = decode(self.pixels) if isinstance(self.pixels, bytes) else to_pixels(self.pixels)
        original = self.details.original_size
        if original is None:
            image, content = letterbox(pixels, size)
            return Frame(image, content, pixels, index)
        if pixels.shape[:2] != size:
            raise UsageError(
                f"a letterboxed frame is {_text(size)}, this one is {_text(pixels.shape)}: letterbox it to "
                f"{_text(size)}, or leave out original_size"
            )
        stand_in = np.broadcast_to(np.zeros(3, np.uint8), (*original, 3))  # of a picture whose size alone counts
        return Frame(pixels, content_size(original, size), stand_in, index)


def decode(content: bytes) -> npt.NDArray[np.uint8]:
    """An encoded picture as `[H, W, 3]` uint8 RGB, upright.

    Args:
        content: a JPEG, PNG or WebP file.

    Raises:
        VideoError: it is none, damaged, or larger than 178956970 pixels.
    """
    kind = picture_kind(content[:HEAD])
    if kind not in KINDS:
        raise VideoError(f"a picture of {len(content)} bytes is {kind or 'none'}; send JPEG, PNG or WebP")
    try:
        with quiet(DEFAULT_MAX_PIXELS):
            image = open_image(io.BytesIO(content), kind)
            if (found := image.size[0] * image.size[1]) <= DEFAULT_MAX_PIXELS:
                return to_pixels(image)
    except Exception as error:  # decoders raise whatever they trip over on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VideoError(f"a {kind} picture of {len(content)} bytes is damaged ({reason:.120})") from error
    raise VideoError(f"a {kind} picture of {found} pixels is above the limit of {DEFAULT_MAX_PIXELS}; make it smaller")


def stream_name(identity: int | str) -> str:
    """A name that no two correlation ids of Triton share: `7` and `"7"` are different sequences."""
    if isinstance(identity, str) and (identity.isdecimal() or identity.startswith('"')):
        return f'"{identity}"'
    return str(identity)


def _size(text: object) -> Size:
    if not isinstance(text, str) or not (match := _SIZE.fullmatch(text)):
        raise UsageError(f"parameter original_size is {text!r:.80}; it is HEIGHTxWIDTH, such as 1080x1920")
    height, width = int(match[1]), int(match[2])
    if height * width > DEFAULT_MAX_PIXELS:
        raise UsageError(f"original_size {text} has more pixels than {DEFAULT_MAX_PIXELS}; make the picture smaller")
    return height, width


def _text(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
