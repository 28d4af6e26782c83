"""Opening what is not stored here: addresses on the network, cameras, standard input."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Final

import av
import av.container

from vpp_deploy.errors import DeviceError, VideoError
from vpp_deploy.files import interrupts
from vpp_deploy.media.location import STANDARD_INPUT, shown

Container = av.container.InputContainer

# What a stream may lead to: never to files of this machine.
_PROTOCOLS: Final = {
    "http": "http,https,httpproxy,tcp,tls,crypto",
    "rtsp": "rtsp,rtsps,rtp,srtp,http,https,httpproxy,udp,tcp,tls",
}
_DEVICES: Final = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none")}
"""FFmpeg's input for cameras, and its name for one, by platform."""
_POLL: Final = 0.2
"""Seconds between two looks for a signal while standard input gives nothing."""


def open_address(url: str, timeout: float) -> Container:
    """Open a stream or file on the network. RTSP comes over TCP, which loses nothing.

    Args:
        url: of one of the `SCHEMES` of `vpp_deploy.media.location`.
        timeout: seconds to wait for an answer, and later for each packet.

    Raises:
        VideoError: there is no answer, or no video behind it.
    """
    scheme = url.partition(":")[0].lower()
    options = {"protocol_whitelist": _PROTOCOLS[scheme.rstrip("s")]}
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    name, begin = shown(url), monotonic()

    def answer() -> Container:
        return av.open(url, "r", options=options, timeout=(timeout, timeout), metadata_errors="replace")

    try:
        container = _within(2 * timeout, answer)  # one time for the connection, one for the first packets
    except (av.FFmpegError, ValueError) as error:
        if monotonic() - begin >= timeout:  # which RTSP takes for data that are not valid
            container = None
        elif isinstance(error, av.InvalidDataError | av.EOFError):
            raise VideoError(f"{name}: what comes from there is not a video; check the address in a player") from error
        else:
            raise VideoError(f"{name}: cannot be opened: {reason(error)}; check the address") from error
    if container is None:
        raise VideoError(f"{name}: cannot be opened: nothing came for {timeout:g} s; check the address and the network")
    return container


def open_camera(number: int) -> Container:
    """Open a camera of this machine.

    Raises:
        DeviceError: there is none of this number, or none can be read on this system.
        VideoError: it cannot be opened.
    """
    if sys.platform not in _DEVICES:
        raise DeviceError(f"camera {number}: cameras are read on Linux and macOS; give an rtsp:// or http:// address")
    kind, pattern = _DEVICES[sys.platform]
    device = pattern.format(number)
    if sys.platform == "linux" and not os.path.exists(device):
        raise DeviceError(f"camera {number}: there is no {device}; connect a camera, or give another number")
    try:
        return av.open(device, "r", format=kind)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(
            f"camera {number}: cannot be opened: {reason(error)}; does another program use it, and may you?"
        ) from error


def open_standard_input() -> Container:
    """Open the video that is piped or redirected in.

    Raises:
        VideoError: it is a terminal, or no video.
    """
    try:
        found = os.fstat(0)
        terminal = os.isatty(0)
    except OSError as error:
        raise VideoError(f"{STANDARD_INPUT}: there is no standard input; pipe a video in") from error
    if terminal:
        raise VideoError(f"{STANDARD_INPUT}: standard input is a terminal; pipe a video in, or give a file")
    is_file = stat.S_ISREG(found.st_mode)
    stream: Any = open(0, "rb", closefd=False) if is_file else _Pipe()  # noqa: SIM115 - the container's
    try:
        return av.open(stream, "r", metadata_errors="replace")  # type: ignore[no-any-return]
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{STANDARD_INPUT}: what comes in is not a video; pipe in one that plays") from error


def reason(error: Exception, timeout: float | None = None) -> str:
    """Why FFmpeg gave up, in words.

    Args:
        error: of PyAV.
        timeout: seconds after which it was to give up; None for none.
    """
    if isinstance(error, av.ExitError) and timeout is not None:
        return f"nothing came for {timeout:g} s"
    return str(getattr(error, "strerror", None) or error)


class _Pipe:
    """Standard input, for PyAV: reads wait, but not beyond a signal that ends the run."""

    name = "standard input"

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not select.select([0], [], [], _POLL)[0]:
            if interrupts.received() is not None:
                return b""
        return os.read(0, size)


def _within(seconds: float, work: Callable[[], Container]) -> Container | None:
    """What `work` gives, or None if it takes longer: the resolver of names knows no time limit.

    Raises:
        Exception: what it raises.
    """
    answers: SimpleQueue[Container | Exception] = SimpleQueue()
    late: SimpleQueue[None] = SimpleQueue()

    def run() -> None:
        try:
            answer: Container | Exception = work()
        except Exception as error:
            answer = error
        if late.empty():
            answers.put(answer)
        elif not isinstance(answer, Exception):
            answer.close()

    Thread(target=run, name="vpp-open", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        return None
    finally:
        late.put(None)
    if isinstance(answer, Exception):
        raise answer
    return answer
