"""Where pictures come from: a path, an address on the network, a camera, or standard input."""

from __future__ import annotations

import os
import re
import stat
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from vpp_deploy.errors import VideoError

STANDARD_INPUT: Final = "-"
SCHEMES: Final = ("http", "https", "rtsp", "rtsps")
"""Of addresses that are read."""

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/{1,3})[^/]")
_CAMERA: Final = re.compile(r"(?:camera:)?([0-9]{1,3})")
_DEVICE: Final = re.compile(r"/dev/video([0-9]{1,3})")
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):[^/]*@")
_SECRET: Final = re.compile(r"(?<=[?&])([^=&]*(?:pass|pwd|token|key|secret|auth)[^=&]*)=[^&]*", re.IGNORECASE)


class Kind(Enum):
    """Of a location."""

    PATH = "path"
    NETWORK = "network"
    CAMERA = "camera"
    STANDARD_INPUT = "standard input"


def kind_of(text: str) -> Kind:
    """What a name means. A file or folder that has it is meant by it; only `-` never is one.

    `/dev/video0` is a camera also while none is connected.

    Raises:
        VideoError: an address of another scheme than `SCHEMES`.
    """
    if text == STANDARD_INPUT:
        return Kind.STANDARD_INPUT
    if _DEVICE.fullmatch(text) and _can_be_device(text):
        return Kind.CAMERA
    if _exists(text):
        return Kind.PATH
    if _CAMERA.fullmatch(text):
        return Kind.CAMERA
    if not (url := _URL.match(text)):
        return Kind.PATH
    scheme, slashes = url[1].lower(), url[2]
    if scheme == "file":
        raise VideoError(f"{text}: give the path alone")
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise VideoError(
            f"{shown(text)}: addresses of {scheme}: are not read; give {known} or a path, or pipe it in and give -"
        )
    if slashes != "//" or not _has_host(text):
        raise VideoError(f"{shown(text)}: not an address; it has the form {scheme}://HOST/PATH")
    return Kind.NETWORK


def camera_number(text: str) -> int:
    """The number of a camera from its name: `0`, `camera:0` or `/dev/video0`."""
    found = _CAMERA.fullmatch(text) or _DEVICE.fullmatch(text)
    assert found is not None
    return int(found[1])


def shown(text: str) -> str:
    """A location for messages and files: an address without the passwords in it."""
    return _SECRET.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text, count=1)) if _URL.match(text) else text


def _exists(text: str) -> bool:
    try:
        os.lstat(text)
    except (OSError, ValueError):  # a name that no file can have
        return False
    return True


def _can_be_device(text: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(text).st_mode)
    except OSError:  # there is none, for now
        return True


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
