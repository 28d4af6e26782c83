"""Write frames as an H.264 video that keeps the source's timing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from math import inf
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace

from vpp_deploy.arguments import checked
from vpp_deploy.errors import DependencyError, OutputError, UsageError, VideoError
from vpp_deploy.files.names import utf8_name
from vpp_deploy.files.outputs import OutputFile, OutputWriter
from vpp_deploy.frames import Size, check_size

FORMATS = {".mkv": "matroska", ".mov": "mov", ".mp4": "mp4"}
DEFAULT_FRAME_RATE = Fraction(25)

_CODEC: Final = "libx264"
# Close to transparent for overlays with text, several times faster than the encoder's default.
_CODEC_OPTIONS = {"crf": "18", "preset": "veryfast"}
_BT709 = 1
_LONGEST_SIDE: Final = 16384
"""Pixels of a side beyond which the encoder gives up."""


class VideoWriter(OutputWriter):
    """Encodes frames to H.264 (yuv420p, BT.709); odd sizes grow to even ones by repeating the last row or column.

    The file appears under its name when the `with` block ends well; after an exception nothing is left. Times are
    relative to the first frame, so the video starts at 0; frames without a time follow at the constant rate. Matroska
    rounds times to milliseconds.

    Args:
        path: the target, `.mp4`, `.mov` or `.mkv`; an existing file is replaced.
        size: height and width of the frames in pixels.
        frame_rate: nominal frames per second; None (a source without time) means 25.
        time_base: unit of time stamps in seconds; times are rounded to it. The reader's `time_base` keeps times exact.
            None takes one that holds the constant rate exactly and other times to 0.1 ms.

    Raises:
        OutputError: another extension, frames larger than H.264 allows, or the target cannot be written. Raised here,
            before the first frame.
        DependencyError: this PyAV has no H.264 encoder.
        UsageError: a size, frame rate or time base that cannot be.
    """

    @checked
    def __init__(
        self,
        path: str | os.PathLike[str],
        size: Size,
        frame_rate: Fraction | float | None = None,
        time_base: Fraction | None = None,
    ) -> None:
        check_size(size)
        if frame_rate and not 1e-5 <= frame_rate < inf:
            raise UsageError(f"frame_rate is {frame_rate}; give frames per second, or None")
        if time_base is not None and time_base <= 0:
            raise UsageError(f"time_base is {time_base}; give seconds above 0, or None")
        suffix = os.path.splitext(path)[1].lower()
        if suffix not in FORMATS:
            raise OutputError(f"{path}: cannot write {suffix or 'a video without extension'}; use {', '.join(FORMATS)}")
        if _CODEC not in av.codecs_available:
            raise DependencyError(
                f"{path}: this PyAV has no H.264 encoder ({_CODEC}); install the wheel: pip install av"
            )
        if max(size) > _LONGEST_SIDE:
            raise OutputError(
                f"{path}: frames of {size[0]}x{size[1]} (height x width) are too large for H.264, whose sides have at "
                f"most {_LONGEST_SIDE} pixels; make them smaller"
            )
        rate = Fraction(frame_rate or DEFAULT_FRAME_RATE).limit_denominator(100_000)
        self.size = size
        self.time_base = time_base or _time_base(rate)
        self._period = 1 / rate
        self._start: Fraction | None = None
        self._time: Fraction | None = None
        self._pts = -1
        self._output = OutputFile(path, seekable=True)
        self._closed = False
        self._name = ExitStack()
        try:
            options = {} if suffix == ".mkv" else {"movflags": "faststart"}
            name = self._name.enter_context(utf8_name(self._output.temporary))
            self._container = av.open(name, "w", format=FORMATS[suffix], options=options)
            self._stream = self._container.add_stream(_CODEC, rate=rate, options=dict(_CODEC_OPTIONS))
        except OSError as error:  # FFmpeg's errors are of this kind
            self._name.close()
            self._output.discard()
            raise OutputError(f"{path}: cannot start the encoder: {error.strerror}") from error
        self._stream.height, self._stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self.time_base
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = _BT709

    def write(self, image: npt.NDArray[np.uint8], time: Fraction | None = None) -> None:
        """Append a frame.

        Args:
            image: `[H, W, 3]` uint8 RGB of the writer's size.
            time: presentation time in seconds; None: one period after the frame before. A time that is not later than
                the one before is moved to the next tick of the time base.

        Raises:
            VideoError: the frame has another size.
            OutputError: writing failed, for example on a full disk.
        """
        if image.shape != (*self.size, 3):
            raise VideoError(
                f"{self._output.path}: frame of shape {list(image.shape)}; this video has {[*self.size, 3]}"
            )
        height, width = self._stream.height, self._stream.width
        if (height, width) != self.size:
            image = np.pad(image, ((0, height - self.size[0]), (0, width - self.size[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        frame.pts, frame.time_base = self._next_pts(time), self.time_base
        frame.duration = max(1, round(self._period / self.time_base))
        self._encode(frame)

    def finish(self) -> None:
        """Write what the encoder still holds, and the index.

        Raises:
            VideoError: no frame was written.
            OutputError: writing failed.
        """
        if self._pts < 0:
            raise VideoError(f"{self._output.path}: no frame was written, so there is no video")
        self._encode(None)
        self._closed = True
        with self._output_errors():
            self._container.close()
        self._name.close()

    def commit(self) -> None:
        """Give the video its name."""
        self._output.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind. Harmless when called twice, or after `commit`."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):  # The trailer of a file that is about to go.
                self._container.close()
        self._name.close()
        self._output.discard()

    def _next_pts(self, time: Fraction | None) -> int:
        if time is None:
            time = Fraction(0) if self._time is None else self._time + self._period
        if self._start is None:
            self._start = time
        self._time = time
        self._pts = max(round((time - self._start) / self.time_base), self._pts + 1)
        return self._pts

    def _encode(self, frame: av.VideoFrame | None) -> None:
        with self._output_errors():
            self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # FFmpeg's errors are of this kind
            raise self._output.failure(error) from error


def _time_base(rate: Fraction) -> Fraction:
    ticks = rate.numerator
    while ticks < 10_000:
        ticks *= 2
    return Fraction(1, ticks)
