"""Write pictures as the PNG files of a folder that appears when it is complete."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.bundle.atomic import replace_folder, temporary_sibling
from vpp_deploy.errors import OutputError, VideoError
from vpp_deploy.media.output import OutputWriter

LIST_FILE: Final = ".vpp-deploy-pictures"
"""Lists the pictures of a folder, one name per line: the mark of a folder that a later run may replace."""


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
        # Links are followed once, so that the folder is replaced and not a link to it.
        self._destination = Path(os.path.realpath(self.path))
        self._names: dict[str, str] = {}
        self._check_target()
        parent = self._destination.parent
        if not parent.is_dir():
            raise OutputError(f"{self.path}: {parent} is not a folder that exists; create it or choose another place")
        self._folder = temporary_sibling(self._destination)
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another place") from error

    def write(self, image: npt.NDArray[np.uint8], name: str) -> None:
        """Add a picture.

        Args:
            image: `[H, W, 3]` uint8 RGB.
            name: file name of the source; the picture gets its stem, or all of it where another picture has the stem.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        try:
            Image.fromarray(image).save(self._folder / self._own_name(name), format="PNG")
        except OSError as error:
            raise OutputError(f"{self.path}: writing failed: {error.strerror or error}; is the disk full?") from error

    def close(self) -> None:
        """Give the folder its name.

        Raises:
            VideoError: no picture was written.
            OutputError: writing failed, or something else has taken the name meanwhile.
        """
        try:
            if not self._names:
                raise VideoError(f"{self.path}: no picture was written, so there is no folder")
            self._check_target()
            (self._folder / LIST_FILE).write_text("".join(f"{name}\n" for name in self._names.values()), "utf-8")
            replace_folder(self._folder, self._destination)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another name") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Give up: leave nothing behind. Harmless when called twice, or after `close`."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _own_name(self, name: str) -> str:
        own = f"{Path(name).stem}.png"
        if own.casefold() in self._names:
            own = f"{name}.png"
        while own.casefold() in self._names:
            own = f"{own}.png"
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
    try:
        present = {entry.name for entry in folder.iterdir()}
        listed = (folder / LIST_FILE).read_text("utf-8").splitlines() if LIST_FILE in present else []
    except (OSError, UnicodeDecodeError):
        return False
    return present <= {LIST_FILE, *listed}
