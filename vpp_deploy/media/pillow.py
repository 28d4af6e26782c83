"""Pillow as pictures of strangers need it: only decoders that are asked for, a limit of pixels, no lines on stderr."""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import PIL
from PIL import Image, features

DEFAULT_MAX_PIXELS: Final = 178_956_970
"""Pixels of a picture beyond which it is not decoded unless asked for: 512 MiB of RGB, Pillow's own limit."""


def missing_decoder(kind: str) -> str | None:
    """What to install so that pictures of a kind (`picture_kind`) can be read; None if nothing is missing."""
    if kind == "AVIF" and not ("avif" in features.modules and features.check("avif")):
        return "pip install 'pillow>=11.3'"
    if kind == "HEIF" and _heif_file() is None:
        return "pip install 'vpp-deploy[heif]'"
    return None


def open_image(file: BinaryIO, kind: str) -> Any:
    """A picture, its header read by the decoder of its kind and by no other.

    Pillow asked without a list would try them all: that of EPS runs Ghostscript.

    Args:
        file: at its begin.
        kind: of `picture_kind`; none is missing (`missing_decoder`).
    """
    heif = _heif_file() if kind == "HEIF" else None
    return Image.open(file, formats=(kind,)) if heif is None else heif(file)


@contextmanager
def quiet(max_pixels: int) -> Iterator[None]:
    """While Pillow decodes: no warnings of its own (with lines of its code), and a limit that can be above its default.

    Both are settings of the whole process, so threads that decode at once share them: the first sets, the last resets.

    Args:
        max_pixels: the most that Pillow lets pass; a lower limit than its own is not set.
    """
    _SHARED.enter(max_pixels)
    try:
        yield
    finally:
        _SHARED.leave()


class _Shared:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._undo = ExitStack()

    def enter(self, max_pixels: int) -> None:
        with self._lock:
            if not self._users:
                self._undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            self._users += 1
            if Image.MAX_IMAGE_PIXELS is not None:
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, -(-max_pixels // 2))

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._undo.close()


_SHARED: Final = _Shared()


def _silence_libraries() -> None:
    """Keep from stderr what Pillow logs where nobody asked for logs, and what its own libtiff prints by itself."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    package = Path(PIL.__file__).parent
    for library in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        handlers = ctypes.CDLL(str(library))  # the copy that Pillow has loaded
        handlers.TIFFSetErrorHandler(None)
        handlers.TIFFSetWarningHandler(None)


_silence_libraries()


def _heif_file() -> Any:
    """The class of pictures that libheif decodes, whole also where they are stored in tiles; None if not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return None
    return HeifImageFile
