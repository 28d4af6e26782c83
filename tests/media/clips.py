"""Small video files for the tests, written with PyAV directly (not with the package's own writer)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from vpp_deploy.frames import Size


def picture(index: int, size: Size) -> npt.NDArray[np.uint8]:
    """Flat quarters: top left is red and the only red one; brightness of the others tells the index."""
    image = np.full((*size, 3), 40 + 4 * (index % 40), np.uint8)
    image[: size[0] // 2, : size[1] // 2] = (220, 20, 20)
    return image


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    size: Size = (48, 64),
    rate: int = 24,
    times: Sequence[Fraction] | None = None,
    time_base: Fraction = Fraction(1, 90_000),
    rotation: int = 0,
    hflip: bool = False,
    noise: bool = False,
    pixel_format: str = "yuv420p",
    container_options: dict[str, str] | None = None,
    encoder_options: dict[str, str] | None = None,
    matrix: int | None = None,
    transfer: int | None = None,
) -> Path:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=container_options or {}) as container:
        options = {"preset": "ultrafast", "crf": "12", **(encoder_options or {})}
        stream = container.add_stream("libx264", rate=rate, options=options)
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if transfer is not None:
            stream.codec_context.color_trc = transfer
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        stream.gop_size = 6
        if times is not None:
            stream.codec_context.time_base = time_base
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for index in range(frames):
            image = rng.integers(0, 256, (*size, 3), np.uint8) if noise else picture(index, size)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = Fraction(1, rate) if times is None else time_base
            frame.pts = index if times is None else int(times[index] / time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_streams(path: Path, streams: Sequence[tuple[int, Size, int]], codecs: Sequence[str] = ()) -> Path:
    """A file of several video streams, each of so many grey frames of a size, with a disposition; H.264 by default."""
    with av.open(str(path), "w") as container:
        tracks = []
        for codec, (_, size, disposition) in zip(codecs or ["libx264"] * len(streams), streams, strict=True):
            options = {"preset": "ultrafast"} if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=24, options=options)
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.height, stream.width, stream.disposition = *size, Disposition(disposition)
            tracks.append(stream)
        for stream, (count, size, _) in zip(tracks, streams, strict=True):
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 90, np.uint8), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 24)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_jpegs(path: Path, jpegs: Sequence[bytes], rotation: int = 0) -> Path:
    """JPEG files as the frames of a video, packet by packet as they are."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        with av.open(io.BytesIO(jpegs[0])) as first:
            stream.height, stream.width = first.streams.video[0].height, first.streams.video[0].width
        stream.pix_fmt = "yuvj444p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.pts, packet.dts, packet.duration = stream, index, index, 1
            packet.time_base, packet.is_keyframe = Fraction(1, 24), True
            container.mux(packet)
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        for index in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    shorter = path.with_name(f"cut{path.suffix}")
    shorter.write_bytes(data[: int(len(data) * share)])
    return shorter
