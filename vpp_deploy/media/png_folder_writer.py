"""Write pictures as the PNG files of a folder that appears when it is complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.files.atomic import recover_folder, replace_folder
from vpp_deploy.files.interrupts import shielded
from vpp_deploy.files.outputs import OutputWriter, fitting, real_path
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.files.temporary import Temporary

LIST_FILE: Final = ".vpp-deploy-pictures"
"""Lists the pictures of a folder, each name ended by a NUL byte: the mark of a folder that a later run may replace.

Earlier versions ended names by a line break, which a name can hold.
"""

_LONGEST_LIST: Final = 64_000_000


class PictureFolderWriter(OutputWriter):
    """A folder of PNG pictures. It appears when the `with` block ends well; after an exception nothing is left.

    Args:
        path: the folder. One that exists is replaced if it is empty, or holds nothing but what an earlier run wrote.

    Raises:
        OutputError: something else has this name, or nothing can be created next to it. Raised here, before the first
            picture.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._names: dict[str, str] = {}
        # Links are followed once, so that the folder is replaced and not a link to it.
        self._destination = real_path(self.path)
        try:
            parent = self._destination.parent
            if not parent.is_dir():
                raise OutputError(
                    f"{self.path}: {parent} is not a folder that exists; create it or choose another place"
                )
            recover_folder(self._destination)
            self._check_target()
            self._folder = Temporary(self._destination, folder=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another place") from error

    def write(self, image: npt.NDArray[np.uint8], name: str) -> None:
        """Add a picture.

        Args:
            image: `[H, W, 3]` uint8 RGB.
            name: file name of the source, or a path of it; the picture gets its stem, or all of it, with `-` for `/`,
                where another picture has the stem.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        try:
            Image.fromarray(image).save(self._folder.path / self._own_name(name), format="PNG", compress_level=1)
        except OSError as error:
            raise OutputError(f"{self.path}: writing failed: {error.strerror or error}; is the disk full?") from error

    def finish(self) -> None:
        """See that the folder is complete.

        Raises:
            VideoError: no picture was written.
            OutputError: writing failed, or something else has taken the name meanwhile.
        """
        if not self._names:
            raise VideoError(f"{self.path}: no picture was written, so there is no folder")
        listed = b"".join(os.fsencode(name) + b"\0" for name in self._names.values())
        try:
            (self._folder.path / LIST_FILE).write_bytes(listed)
        except OSError as error:
            raise OutputError(f"{self.path}: writing failed: {error.strerror or error}; is the disk full?") from error

    def commit(self) -> None:
        """Give the folder its name.

        Raises:
            OutputError: something else has taken the name meanwhile.
        """
        try:
            self._check_target()
            with shielded():
                replace_folder(self._folder.path, self._destination)
                self._folder.release()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another name") from error

    def discard(self) -> None:
        """Give up: leave nothing behind. Harmless when called twice, or after `commit`."""
        self._folder.remove()

    def _own_name(self, name: str) -> str:
        own = fitting(Path(name).stem, ".png")
        if own.casefold() in self._names:
            own = fitting("-".join(Path(name).parts), ".png")
        while own.casefold() in self._names:
            own = fitting(own, ".png")
        self._names[own.casefold()] = own
        return own

    def _check_target(self) -> None:
        if not self._destination.exists():
            return
        if not self._destination.is_dir():
            raise OutputError(f"{self.path}: this is a file; give the name of a folder for the pictures")
        if not _may_be_replaced(self._destination):
            raise OutputError(
                f"{self.path}: this folder exists and holds other files, so it is not replaced; choose another name"
            )


def _may_be_replaced(folder: Path) -> bool:
    """Whether there is nothing in it, or nothing but regular files that an earlier run lists."""
    try:
        with os.scandir(folder) as entries:
            present = {os.fsencode(entry.name): entry.is_file(follow_symlinks=False) for entry in entries}
        mark = os.fsencode(LIST_FILE)
        if not present.pop(mark, False):
            return not present
        content = read_bytes(folder / LIST_FILE, OutputError, what="list of pictures", limit=_LONGEST_LIST)
    except (OSError, OutputError):
        return False
    listed = set(content.split(b"\0" if b"\0" in content else b"\n"))
    return all(is_file and name in listed for name, is_file in present.items())
