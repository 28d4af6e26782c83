"""What an input is, and the one place that opens it: a video, an image, a film in one, a folder of images, a stream."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.files.reading import open_regular
from vpp_deploy.media.animation import Animation
from vpp_deploy.media.container import open_container
from vpp_deploy.media.image_folder_reader import Images, images_of
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.kinds import HEAD, IMAGE_SUFFIXES, is_film, picture_kind
from vpp_deploy.media.location import Kind, camera_number, kind_of
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pictures import PictureFile
from vpp_deploy.media.remote import open_address, open_camera, open_standard_input
from vpp_deploy.media.source import Source
from vpp_deploy.media.video_file import VideoFile


def open_source(given: InputFile) -> Source:
    """Open what is read.

    Args:
        given: its path and how to read it.

    Raises:
        VideoError: there is nothing that can be read at the path.
        DependencyError: an image needs a decoder that is not installed.
        DeviceError: there is no such camera.
        UsageError: there is no such stream, or images have no times to choose by.
    """
    kind = kind_of(given.path)
    if kind is Kind.PATH:
        return _stored(given)
    if kind is Kind.NETWORK:
        return VideoFile(given, lambda: open_address(given.path, given.timeout))
    if kind is Kind.CAMERA:
        return VideoFile(given, lambda: open_camera(camera_number(given.path)))
    return VideoFile(given, open_standard_input)


def _stored(given: InputFile) -> Source:
    path, stream, max_pixels, selection = Path(given), given.stream, given.max_pixels, given.selection
    try:  # a name can be too long or have a NUL byte in it, and a folder can be closed
        is_folder, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    except (OSError, ValueError) as error:
        raise VideoError(f"{given}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not exists:
        raise VideoError(missing(path))
    notes = Notes(path)
    if is_folder:
        source: Source = images_of(path, notes, max_pixels, selection, given.prefix)
    elif not is_file:
        raise VideoError(
            f"{path}: not a regular file but a device, pipe or socket; save the video to a file first, or give - and "
            "redirect it to standard input"
        )
    elif _is_picture(path):
        source = _picture(path, notes, given)
    else:
        return VideoFile(given, lambda: open_container(path), notes, stored=True)
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


def is_still(location: str) -> bool:
    """Whether a name is that of a picture file, and not of a film in one.

    Raises:
        VideoError: it is a file that cannot be read.
        DependencyError: there is no decoder for its kind.
    """
    if kind_of(location) is not Kind.PATH or not os.path.isfile(location) or not _is_picture(Path(location)):
        return False
    with PictureFile(Path(location), sys.maxsize) as file:
        return not file.animated


def _picture(path: Path, notes: Notes, given: InputFile) -> Source:
    file = PictureFile(path, given.max_pixels)
    if file.animated and not given.further:
        return Animation(file, notes, given.selection)
    file.close()
    return Images([path, *map(Path, given.further)], notes, given.max_pixels, given.selection, given.prefix)


def missing(path: Path) -> str:
    """What to say of a path at which nothing is: a link on it leads nowhere, accents are composed in another way."""
    for link in (path, *path.parents):
        if link.is_symlink() and not link.exists():
            which = "it is a link" if link == path else f"{link} is a link"
            return f"{path}: no such file or folder; {which} to {os.readlink(link)}, which is not there: mend the link"
    wanted = unicodedata.normalize("NFC", path.name)
    try:
        twin = next((name for name in os.listdir(path.parent) if unicodedata.normalize("NFC", name) == wanted), None)
    except OSError:
        twin = None
    if twin is None:
        return f"{path}: no such file or folder; check the path"
    form = "NFC (composed)" if unicodedata.is_normalized("NFC", twin) else "NFD (decomposed)"
    return f"{path}: no such file or folder; one of the same name with its accents in the form {form} is there"
