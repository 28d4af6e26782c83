"""A video file, decoded with FFmpeg (PyAV)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.video
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from vpp_deploy.errors import VideoError
from vpp_deploy.media.source import Picture

# FFmpeg "decodes" plain text as terminal art; to a user that is not a video.
_TEXT_ART = ("ansi", "bintext", "idf", "xbin")

_DURATION_TAG = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)")


class VideoFile:
    """The first real video stream of a file (cover pictures of audio files do not count).

    Frames come out upright: the container's display matrix is applied, rounded to quarter turns. Pixels are taken as
    square. Damage does not end the sequence where the decoder can go on; `problem` tells of it.

    Raises:
        VideoError: the file cannot be opened, is not a video, or needs a decoder that is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = _open(path)
        try:
            self._stream = _video_stream(path, self._container)
        except VideoError:
            self._container.close()
            raise
        self._stream.thread_type = "AUTO"
        self.frame_rate = self._stream.average_rate or self._stream.guessed_rate
        self.time_base = self._stream.time_base
        self._announced = _announced_seconds(self._container, self._stream)
        self.frame_count = self._stream.frames or _estimate(self._announced, self.frame_rate)
        self._failures: list[str] = []
        self._damaged = 0
        self._shortfall: str | None = None

    @property
    def problem(self) -> str | None:
        """What was found broken so far, as one line, or None."""
        findings = []
        if self._failures:
            findings.append(f"{len(self._failures)} packets could not be read or decoded (first: {self._failures[0]})")
        if self._damaged:
            findings.append(f"{self._damaged} packets or frames are incomplete")
        if self._shortfall:
            findings.append(self._shortfall)
        return f"{self._path}: damaged or cut short: {'; '.join(findings)}" if findings else None

    def pictures(self) -> Iterator[Picture]:
        """Decode to the end of the file, each frame with its exact presentation time."""
        for frame in self._frames():
            time = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            yield Picture(self._upright_rgb(frame), time)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _frames(self) -> Iterator[av.VideoFrame]:
        end = Fraction(0)
        number = 0
        for number, packet in enumerate(self._packets()):
            self._damaged += packet.is_corrupt
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            yield from self._decode(packet, number)
        if self._failures and self._failures[-1].startswith("reading"):
            yield from self._decode(None, number)
        self._compare_length(end)

    def _packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            self._failures.append(f"reading stopped: {error.strerror}")

    def _decode(self, packet: av.Packet[av.VideoStream] | None, number: int) -> Iterator[av.VideoFrame]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            self._failures.append(f"packet {number}: {error.strerror}")
            return
        for frame in frames:
            self._damaged += frame.is_corrupt
            yield frame

    def _compare_length(self, end: Fraction) -> None:
        tolerance = max(Fraction(1, 10), Fraction(3, 2) / self.frame_rate if self.frame_rate else Fraction(0))
        if self._announced is not None and 0 < end < self._announced - tolerance:
            announced = f"{float(self._announced):.2f} s"
            self._shortfall = f"the container announces {announced} of video, the frames end at {float(end):.2f} s"

    def _upright_rgb(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        try:
            image = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self._path}: pixel format {frame.format.name} cannot be converted to RGB; re-encode it to yuv420p"
            ) from error
        pixels = image.astype(np.uint8, copy=False)
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        return pixels if matrix is None else turn_upright(pixels, np.frombuffer(matrix, np.int32).reshape(3, 3))


def turn_upright(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Apply a container's display matrix, rounded to quarter turns and mirrorings.

    Args:
        image: `[H, W, 3]` as decoded.
        matrix: `[3, 3]`; a point (x, y) is shown at (a·x + c·y, b·x + d·y) with a, b and c, d in the first two rows
            (ISO/IEC 14496-12, track header box).
    """
    (a, b), (c, d) = matrix[:2, :2].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(
            f"file:{path}",
            mode="r",
            # A playlist must not make this process fetch from the network.
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.InvalidDataError, av.EOFError) as error:
        raise VideoError(
            f"{path}: not a video, or its header is missing (a recording that was cut off?); give a file that plays"
        ) from error
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be opened: {error.strerror}; check the file and its permissions") from error


def _video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(f"{path}: no video stream in this file (it has: {kinds}); give a file with video")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{path}: this FFmpeg has no decoder for its video stream; re-encode it, for example to H.264")
    if stream.codec_context.name in _TEXT_ART:
        raise VideoError(f"{path}: a text file, not a video; give a video file or a folder of images")
    return stream


def _announced_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """The length of the video stream as the container's header has it; Matroska has it in a tag."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if tag := _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", "")):
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None


def _estimate(seconds: Fraction | None, rate: Fraction | None) -> int | None:
    return round(seconds * rate) if seconds and rate else None
