"""What a picture file is, told by its first bytes: names lie, and no decoder is to start that was not asked for."""

from __future__ import annotations

import re
from typing import Final

HEAD: Final = 4096
"""Bytes at the begin of a file that tell its kind and its depth."""

IMAGE_SUFFIXES: Final = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Names of files that are taken for pictures, alone and in folders."""
KINDS: Final = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF and HEIF"
"""In messages: what is read."""
ANIMATED: Final = ("AVIF", "GIF", "PNG", "WEBP")
"""Kinds in which several pictures are a film, with times."""

_SIGNATURES: Final = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
    ("BMP", re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
    ("PPM", re.compile(rb"P[1-6][\s#]")),
)
_FILM: Final = re.compile(
    rb"....(?:ftyp|moov)|\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS|\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    re.DOTALL,
)
"""MP4 and MOV, Matroska and WebM, AVI, FLV, Ogg, ASF: what FFmpeg too knows by its content, whatever the name."""
_HEIF_BRANDS: Final = frozenset((b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"mif1"))
_PPM_DEPTH: Final = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d{1,6})\s")


def picture_kind(head: bytes) -> str | None:
    """Pillow's name of a picture's kind, `HEIF` for what Pillow has no decoder of; None for everything else.

    Args:
        head: the first `HEAD` bytes of a file, or all of it.
    """
    if head[4:12] in [b"ftyp" + brand for brand in _HEIF_BRANDS]:
        brands = {head[at : at + 4] for at in range(8, min(int.from_bytes(head[:4]), len(head)), 4)}
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIF"
    return next((kind for kind, signature in _SIGNATURES if signature.match(head)), None)


def is_film(head: bytes) -> bool:
    """Whether a file that is no picture (`picture_kind`) begins as a video file does, whatever its name.

    Args:
        head: the first `HEAD` bytes of the file.
    """
    return _FILM.match(head) is not None


def bits_per_channel(kind: str, head: bytes) -> int:
    """Bits of each channel as the header of a PNG, PPM or AVIF file has them; 8 for other kinds.

    Args:
        kind: of `picture_kind`.
        head: the first bytes of the file.
    """
    if kind == "PNG" and len(head) > 24:
        return head[24]
    if kind == "PPM" and head[1:2] not in (b"1", b"4") and (found := _PPM_DEPTH.match(head)):
        return int(found[1]).bit_length()
    if kind == "AVIF" and 0 <= (at := head.find(b"av1C")) < len(head) - 6:
        return 10 if head[at + 6] & 0x40 else 8
    return 8
