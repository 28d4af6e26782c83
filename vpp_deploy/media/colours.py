"""Which colours the numbers of a frame mean: what can be converted, and what an untagged frame is taken for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av
from av.video.reformatter import Colorspace, ColorTrc

HD_HEIGHT: Final = 720
"""Rows from which untagged video is taken for BT.709, as broadcast and players have it; below, for BT.601."""

# ITU-T H.273, MatrixCoefficients.
_RGB, _UNSPECIFIED, _RESERVED = 0, 2, 3
_UNCONVERTIBLE: Final = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "Y'D'zD'x (SMPTE ST 2085)",
    12: "chromaticity-derived non-constant luminance",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_HDR: Final = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}


def source_matrix(frame: av.VideoFrame) -> Colorspace | None:
    """The colour matrix to convert a frame to RGB with, where it is not the frame's own; None for its own."""
    if _is_untagged(frame):
        return Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
    return None


def unconvertible_matrix(frame: av.VideoFrame) -> str | None:
    """The name of the colour matrix of a frame that cannot be converted to RGB; None for others."""
    return None if frame.format.is_rgb else _UNCONVERTIBLE.get(frame.colorspace)


def remarks(frame: av.VideoFrame) -> Iterator[str]:
    """What a user should know about the colours of a frame, as halves of sentences."""
    if _is_untagged(frame) and frame.height >= HD_HEIGHT:
        yield f"its colour matrix is not told; taken for BT.709, as is usual from {HD_HEIGHT} rows on"
    if curve := _HDR.get(frame.color_trc):
        yield f"high dynamic range ({curve}), which is read without tone mapping: its colours look pale"


def _is_untagged(frame: av.VideoFrame) -> bool:
    pixels = frame.format
    has_matrix = len(pixels.components) >= 3 and not pixels.is_rgb and not pixels.name.startswith("xyz")
    return has_matrix and frame.colorspace in (_RGB, _UNSPECIFIED, _RESERVED)
