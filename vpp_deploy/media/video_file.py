"""A video file or stream, decoded with FFmpeg (PyAV)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

import av
import av.container
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from vpp_deploy.errors import VideoError
from vpp_deploy.media.colours import remarks, source_matrix, unconvertible_matrix
from vpp_deploy.media.display_matrix import display_matrix, turn_upright
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.remote import reason
from vpp_deploy.media.source import Picture
from vpp_deploy.media.streams import (
    TS_DISCONT,
    announced_frames,
    announced_in_all,
    announced_seconds,
    choose_stream,
    described,
    is_matroska,
)
from vpp_deploy.media.timeline import DecodingOrder, Timeline

_UNTIMED: Final = ("avi",)
"""Containers that store no presentation times."""

_RUN_UP: Final = 2
"""Seconds before the start of a part from which it is decoded at least: an index may name a key frame too late."""
_JOINT: Final = 3
"""Packets before a jump of the clock that a transport stream calls incomplete because its counter jumps, too."""


class VideoFile:
    """The film of a video file or stream (`choose_stream`).

    Frames come out upright: the container's display matrix is applied, or else EXIF's, rounded to quarter turns. Pixels
    are taken as square. Times only grow (`Timeline`). Damage does not end the sequence where the decoder can go on;
    `problem` tells of it.

    Args:
        given: what to read, and how.
        opener: opens it.
        notes: what there is to say about it.
        stored: it is a file, which can be opened again and sought in.

    Raises:
        VideoError: the file cannot be opened, is not a video, needs a decoder that is not there, or its frames have too
            many pixels.
        UsageError: there is no such video stream.
    """

    def __init__(
        self,
        given: InputFile,
        opener: Callable[[], av.container.InputContainer],
        notes: Notes | None = None,
        *,
        stored: bool = False,
    ) -> None:
        self._path, self._max_pixels, self._selection = str(given), given.max_pixels, given.selection
        self._notes = Notes(self._path) if notes is None else notes
        self._timeout = None if stored else given.timeout
        self._container = opener()
        try:
            self._stream = choose_stream(self._path, self._container, opener if stored else None, given.stream)
            self._check_size(self._stream.height, self._stream.width)
            self._origin = self._seek() if stored else None
        except BaseException:
            self._container.close()
            raise
        self._tell_of_choice(given.stream)
        live = announced_in_all(self._container) is None and not stored
        self._stream.thread_type = "SLICE" if live else "AUTO"  # threads over frames would hold frames back
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.frame_rate = self._selection.rate(rate)
        self.time_base = self._stream.time_base
        self.frame_count = self._selection.count(announced_frames(self._container, self._stream), rate)
        self._in_all = is_matroska(self._container)
        self._announced = (
            announced_in_all(self._container) if self._in_all else announced_seconds(self._container, self._stream)
        )
        broadcast = bool(self._container.format.flags & TS_DISCONT)
        self._timeline = Timeline(rate, self.time_base, broadcast=broadcast)
        self._order = DecodingOrder(
            untimed=self._container.format.name in _UNTIMED, reorders=bool(self._stream.codec_context.has_b_frames)
        )
        self._failures: list[str] = []
        self._corrupt: list[int] = []
        self._corrupt_frames = 0
        self._shortfall: str | None = None

    @property
    def problem(self) -> str | None:
        """What was found broken so far, as one line, or None."""
        findings = []
        if self._failures:
            findings.append(f"{len(self._failures)} packets could not be read or decoded (first: {self._failures[0]})")
        if damaged := len(self._corrupt) + self._corrupt_frames:
            findings.append(f"{damaged} packets or frames are incomplete")
        if self._shortfall:
            findings.append(self._shortfall)
        return f"{self._path}: damaged or cut short: {'; '.join(findings)}" if findings else None

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say about the streams, times and colours."""
        jumps = self._timeline.jumps
        if not jumps:
            return self._notes.lines
        times = "once" if jumps == 1 else f"{jumps} times"
        return (
            *self._notes.lines,
            f"{self._path}: its clock jumps {times} (joined files?); the times go on without a gap",
        )

    def pictures(self) -> Iterator[Picture]:
        """Decode to the end of the file or of the part to read, each frame with its presentation time."""
        timed = ((self._timeline.next(self._time(frame)), frame) for frame in self._frames())
        for number, (time, frame) in enumerate(self._selection.choose(timed, self._path, self._origin)):
            self._check_size(frame.height, frame.width)
            if not number:
                for remark in remarks(frame):
                    self._notes.add(remark)
            yield Picture(self._upright_rgb(frame), time)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _seek(self) -> Fraction | None:
        """Go to a key frame before the start that was asked for, and give the time that it is counted from."""
        begin, unit = self._stream.start_time, self._stream.time_base
        ahead = self._selection.start - _RUN_UP
        untimed = self._container.format.name in _UNTIMED or self._container.format.flags & TS_DISCONT
        if begin is None or unit is None or untimed:
            return None
        if ahead > 0:
            try:
                self._container.seek(begin + int(ahead / unit), stream=self._stream)
            except av.FFmpegError as error:
                raise VideoError(
                    f"{self._path}: there is no way to {float(self._selection.start):g} s in it: {error.strerror}; "
                    "choose an earlier start"
                ) from error
        return begin * unit

    def _frames(self) -> Iterator[av.VideoFrame]:
        end, number, last = Fraction(0), 0, None
        for packet in self._packets():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream != self._stream:
                continue
            if last is not None and packet.dts is not None and packet.dts < last:
                self._corrupt = [before for before in self._corrupt if before < number - _JOINT]
            elif packet.is_corrupt:
                self._corrupt.append(number)
            last = packet.dts
            yield from self._decode(packet, number)
            number += 1
        if self._failures and self._failures[-1].startswith("reading"):
            yield from self._decode(None, number)
        self._compare_length(end)

    def _packets(self) -> Iterator[av.Packet[Any]]:
        """The packets of the stream; of all streams, where only the length of all is known."""
        try:
            yield from self._container.demux() if self._in_all else self._container.demux(self._stream)
        except av.FFmpegError as error:
            self._failures.append(f"reading stopped: {reason(error, self._timeout)}")

    def _decode(self, packet: av.Packet[av.VideoStream] | None, number: int) -> Iterator[av.VideoFrame]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            self._failures.append(f"packet {number}: {error.strerror}")
            return
        if packet is not None and packet.size:
            self._order.add(packet.pts, packet.dts)
        for frame in frames:
            self._corrupt_frames += frame.is_corrupt
            yield frame

    def _time(self, frame: av.VideoFrame) -> Fraction | None:
        ticks = self._order.next(frame.pts)
        return None if ticks is None or frame.time_base is None else ticks * frame.time_base

    def _compare_length(self, end: Fraction) -> None:
        tolerance = max(Fraction(1, 10), Fraction(3, 2) / self.frame_rate if self.frame_rate else Fraction(0))
        if self._announced is not None and 0 < end < self._announced - tolerance:
            announced, what = f"{float(self._announced):.2f} s", "" if self._in_all else " of video"
            self._shortfall = f"the container announces {announced}{what}, the frames end at {float(end):.2f} s"

    def _upright_rgb(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        if matrix := unconvertible_matrix(frame):
            raise VideoError(
                f"{self._path}: its colour matrix is {matrix}, which FFmpeg's scaler cannot convert to RGB; convert it "
                "to BT.709 with a program that can, or if only the tag is wrong, correct it (for H.264: ffmpeg -i FILE "
                "-c copy -bsf:v h264_metadata=matrix_coefficients=1 OUT)"
            )
        colours = source_matrix(frame)
        try:
            image = frame.to_ndarray(format="rgb24", src_colorspace=colours, dst_colorspace=colours)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self._path}: pixel format {frame.format.name} cannot be converted to RGB; re-encode it to yuv420p"
            ) from error
        pixels = image.astype(np.uint8, copy=False)
        turn = display_matrix(frame)
        return pixels if turn is None else turn_upright(pixels, turn)

    def _check_size(self, height: int, width: int) -> None:
        if height * width > self._max_pixels:
            raise VideoError(
                f"{self._path}: frames of {height}x{width} (height x width) have more than {self._max_pixels} pixels, "
                f"which is the limit; make them smaller, or raise it with --max-pixels {height * width}"
            )

    def _tell_of_choice(self, wanted: int | None) -> None:
        others = [
            described(stream)
            for stream in self._container.streams.video
            if stream.index != self._stream.index and not stream.disposition & Disposition.attached_pic
        ]
        if others and wanted is None:
            self._notes.add(
                f"reads video stream {described(self._stream)}; there is also {', '.join(others)}, see --stream"
            )
