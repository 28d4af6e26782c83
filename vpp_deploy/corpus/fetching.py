"""From an item to something on this machine that `infer` can run."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.locations import failing_as, file_system, is_url
from vpp_deploy.errors import VideoError


def fetch(item: Item, folder: Path) -> str:
    """What to run, on this machine: a file that is here is taken as it is; what is in a store is copied first.

    Args:
        item: whose files.
        folder: for copies, and for links to pictures that are not all of their folder.

    Raises:
        VideoError: it cannot be copied.
    """
    if not item.pictures:
        return _here(item.files[0].location, folder)
    if item.whole and not is_url(item.files[0].location):
        return os.path.dirname(item.files[0].location)
    pictures = folder / "pictures"
    pictures.mkdir()
    for file in item.files:
        if is_url(file.location):
            _here(file.location, pictures)
        else:
            (pictures / os.path.basename(file.location)).symlink_to(file.location)
    return str(pictures)


def _here(location: str, folder: Path) -> str:
    if not is_url(location):
        return location
    target = folder / PurePosixPath(location).name
    system, path = file_system(location)
    with failing_as(VideoError, f"{location}: cannot be copied"):
        system.get_file(path, str(target))
    return str(target)
