"""What an input is: a video file, an image, a film in an image file, or a folder of images."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Final

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.files.reading import open_regular
from vpp_deploy.media.animation import Animation
from vpp_deploy.media.image_folder_reader import Images, images_of
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.kinds import HEAD, IMAGE_SUFFIXES, is_film, picture_kind
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pictures import PictureFile
from vpp_deploy.media.source import Source
from vpp_deploy.media.video_file import VideoFile

# A path loses one of the slashes.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,3}[^/]")


def open_source(given: InputFile) -> Source:
    """Open what is read.

    Args:
        given: its path and how to read it.

    Raises:
        VideoError: there is nothing that can be read at the path.
        DependencyError: an image needs a decoder that is not installed.
        UsageError: there is no such stream.
    """
    path, stream, max_pixels = Path(given), given.stream, given.max_pixels
    try:  # a name can be too long or have a NUL byte in it, and a folder can be closed
        is_folder, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    except (OSError, ValueError) as error:
        raise VideoError(f"{given}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not exists:
        raise VideoError(_missing(given.path, path))
    notes = Notes(path)
    if is_folder:
        source: Source = images_of(path, notes, max_pixels)
    elif not is_file:
        raise VideoError(f"{path}: not a regular file but a device, pipe or socket; save the video to a file first")
    elif _is_picture(path):
        source = _picture(path, notes, max_pixels)
    else:
        return VideoFile(path, notes, stream, max_pixels)
    if stream is not None:
        source.close()
        raise UsageError(f"{path}: images have no video streams to choose from; leave stream {stream} out")
    return source


def _is_picture(path: Path) -> bool:
    with open_regular(path, VideoError, what="video") as file:
        try:
            head = file.read(HEAD)
        except OSError as error:
            raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    suffix = path.suffix.lower()
    if not head:
        raise VideoError(f"{path}: the file is empty; give a video file or a folder of images")
    kind = picture_kind(head)
    if kind is None:
        return suffix in IMAGE_SUFFIXES and not is_film(head)
    # Many JPEG pictures, one after the other, are a video (.mjpeg and other names).
    return kind != "JPEG" or not suffix or suffix in IMAGE_SUFFIXES


def _picture(path: Path, notes: Notes, max_pixels: int) -> Source:
    file = PictureFile(path, max_pixels)
    if file.animated:
        return Animation(file, notes)
    file.close()
    return Images([path], notes, max_pixels)


def _missing(given: str, path: Path) -> str:
    if given.lower().startswith("file:/"):
        return f"{given}: URLs are not read; give the path alone"
    if _URL.match(given):
        return f"{given}: URLs are not read; save it to a file first, for example with ffmpeg -i URL -c copy clip.mkv"
    wanted = unicodedata.normalize("NFC", path.name)
    try:
        twin = next((name for name in os.listdir(path.parent) if unicodedata.normalize("NFC", name) == wanted), None)
    except OSError:
        twin = None
    if twin is None:
        return f"{path}: no such file or folder; check the path"
    form = "NFC (composed)" if unicodedata.is_normalized("NFC", twin) else "NFD (decomposed)"
    return f"{path}: no such file or folder; one of the same name with its accents in the form {form} is there"
