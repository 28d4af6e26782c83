"""Which video stream of a file is the film."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from typing import Final

import av
import av.container
from av.stream import Disposition

from vpp_deploy.errors import UsageError, VideoError

TS_DISCONT: Final = 0x0200
"""FFmpeg's `AVFMT_TS_DISCONT`: a format of broadcasts, whose clock may jump and whose header announces nothing."""
_ASIDE: Final = Disposition.timed_thumbnails | Disposition.still_image | Disposition.dependent
_FEW: Final = 3
"""Frames up to which a stream beside a much longer one is a thumbnail, ..."""
_MANY: Final = 10
"""... and how many times longer that one is."""
_ALIKE: Final = Fraction(9, 10)
"""Share of the most frames from which a stream counts as long as that."""
_PEEKED: Final = 1000
"""Packets that are counted where a file does not tell how long its streams are."""
# FFmpeg "decodes" plain text as terminal art; to a user that is not a video.
_TEXT_ART: Final = ("ansi", "bintext", "idf", "xbin")
_DURATION_TAG: Final = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)")

Container = av.container.InputContainer


def choose_stream(
    path: str, container: Container, reopen: Callable[[], Container] | None, wanted: int | None
) -> av.VideoStream:
    """The film among the streams of a file.

    That is the stream that was asked for. Without that, cover pictures and thumbnails are left aside, and of the rest
    counts the default one, then the longest, and among those about as long the largest.

    Args:
        path: of the file or stream, for messages.
        container: the open file; no packet of it is read.
        reopen: opens it once more, to count packets where its header counts no frames; None where that cannot be.
        wanted: index among all streams of the file; None to choose.

    Raises:
        VideoError: there is no video stream, or no decoder for the film.
        UsageError: the wanted stream is not there or not video.
    """
    streams = container.streams.video
    films = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if wanted is not None:
        films = [stream for stream in streams if stream.index == wanted]
        if not films:
            there = ", ".join(map(described, streams)) or "none"
            raise UsageError(f"{path}: no video stream {wanted} in this file; its video streams: {there}")
    if not films and streams:
        raise VideoError(
            f"{path}: no video in this file but a cover picture; give a file with video, or choose the picture with "
            f"--stream {streams[0].index}"
        )
    if not films:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(f"{path}: no video stream in this file (it has: {kinds}); give a file with video")
    film = films[0] if len(films) == 1 else _film(container, films, reopen)
    if film.codec_context is None:
        raise VideoError(f"{path}: this FFmpeg has no decoder for its video stream; re-encode it, for example to H.264")
    if film.codec_context.name in _TEXT_ART:
        raise VideoError(f"{path}: a text file, not a video; give a video file or a folder of images")
    return film


def described(stream: av.VideoStream) -> str:
    """A video stream in words: its index, codec, height and width."""
    context = stream.codec_context
    return f"{stream.index} ({f'{context.name} {context.height}x{context.width}' if context else 'no decoder'})"


def announced_seconds(container: Container, stream: av.VideoStream) -> Fraction | None:
    """The length of a video stream as the file's header has it; None where it has none, as of a live recording.

    Matroska has it in a tag, which programs copy into shorter files without a thought: good for an estimate, up to the
    length of the file.
    """
    whole = announced_in_all(container)
    if whole and is_matroska(container) and (tag := _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))):
        return min(whole, int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3]))
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return whole if len(container.streams) == 1 else None


def announced_in_all(container: Container) -> Fraction | None:
    """The length of a file, that of its longest stream, in seconds, as its header has it."""
    return Fraction(container.duration, av.time_base) if container.duration else None


def is_matroska(container: Container) -> bool:
    """Whether a file is Matroska or WebM, whose headers know the length of the file alone, not those of its streams."""
    return container.format.name.startswith("matroska")


def announced_frames(container: Container, stream: av.VideoStream) -> int | None:
    """The number of frames of a video stream, as its header has it or as follows from its length; None if unknown."""
    seconds, rate = announced_seconds(container, stream), stream.average_rate or stream.guessed_rate
    return stream.frames or (round(seconds * rate) if seconds and rate else None)


def _film(
    container: Container, films: Sequence[av.VideoStream], reopen: Callable[[], Container] | None
) -> av.VideoStream:
    announced = {stream.index: announced_frames(container, stream) for stream in films}
    known = {index: count for index, count in announced.items() if count}
    guessed = container.format.flags & TS_DISCONT  # FFmpeg gives each stream without a length that of the others
    frames = _peek(films, reopen) if reopen and (guessed or len(known) < len(films)) else Counter(known)
    most = max(frames[stream.index] for stream in films)
    left = [stream for stream in films if stream.codec_context] or films
    left = [stream for stream in left if not stream.disposition & _ASIDE] or left
    left = [stream for stream in left if frames[stream.index] > _FEW or frames[stream.index] * _MANY >= most] or left
    left = [stream for stream in left if stream.disposition & Disposition.default] or left
    longest = max(frames[stream.index] for stream in left)
    left = [stream for stream in left if frames[stream.index] >= _ALIKE * longest]
    return max(left, key=lambda stream: stream.width * stream.height if stream.codec_context else 0)


def _peek(films: Sequence[av.VideoStream], reopen: Callable[[], Container]) -> Counter[int]:
    counts = Counter[int]()
    with reopen() as container:
        indices = {stream.index for stream in films}
        streams = tuple(stream for stream in container.streams.video if stream.index in indices)
        try:
            for packet in islice(container.demux(streams), _PEEKED):
                counts[packet.stream.index] += packet.size > 0
        except av.FFmpegError:
            return counts  # damage further on does not matter for the choice
    return counts
