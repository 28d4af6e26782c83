"""Opening a container with FFmpeg (PyAV)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.container

from vpp_deploy.errors import VideoError


def open_container(path: Path) -> av.container.InputContainer:
    """Open a video file.

    Args:
        path: of the file.

    Raises:
        VideoError: it cannot be opened, or is no video.
    """
    # A playlist must not make this process fetch from the network.
    settings: dict[str, Any] = {"mode": "r", "options": {"protocol_whitelist": "file"}}
    if _decodes_metadata():
        settings["metadata_errors"] = "replace"
    try:
        return av.open(f"file:{path}", **settings)  # type: ignore[no-any-return]
    except (av.InvalidDataError, av.EOFError) as error:
        raise VideoError(
            f"{path}: not a video, or its header is missing (a recording that was cut off?); give a file that plays"
        ) from error
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be opened: {error.strerror}; check the file and its permissions") from error


def _decodes_metadata() -> bool:
    """Whether this PyAV decodes metadata strictly unless it is told otherwise, as it did up to version 18."""
    return int(av.__version__.partition(".")[0]) < 19
