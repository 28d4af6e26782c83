"""Snapshots of streams in a folder, so that a stream goes on after the server was killed."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from vpp_deploy.errors import OutputError, StreamError
from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.outputs import make_folder
from vpp_deploy.files.reading import read_bytes

KEPT: Final = 2
"""Snapshots of one stream: one before the newest, for a client that missed the answer to its last frame."""
_NAME: Final = re.compile(r"(-?[0-9]{1,19})\.safetensors")
_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES: Final = 1_000_000_000
_DAY: Final = 86400.0


class SnapshotStore:
    """A folder with a folder for each stream, and in it a file for each of its last snapshots. Thread-safe.

    Args:
        folder: is made if there is none.
        keep_seconds: what a stream left so long ago is removed when `prune` is called.

    Raises:
        OutputError: it cannot be made.
    """

    def __init__(self, folder: Path, keep_seconds: float = _DAY) -> None:
        self._folder, self._keep_seconds = folder, keep_seconds
        make_folder(folder, "folder for snapshots")
        self.prune()

    def save(self, stream: str, number: int, content: bytes) -> None:
        """Store what a stream remembers after a frame; the last ones stay, older ones go.

        Args:
            stream: its name.
            number: of the frame.
            content: the snapshot.

        Raises:
            OutputError: it cannot be written.
        """
        folder = self._of(stream)
        try:
            folder.mkdir(exist_ok=True)
            with atomic_file(folder / f"{number}.safetensors") as file:
                file.write(content)
            for old in self._numbers(stream)[:-KEPT]:
                (folder / f"{old}.safetensors").unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"a snapshot cannot be written in {folder}: {error.strerror or error}") from error

    def load(self, stream: str, number: int | None) -> bytes:
        """The snapshot that a stream goes on from.

        Args:
            stream: its name.
            number: of the frame that comes; None takes the newest snapshot.

        Raises:
            StreamError: there is none after the frame before.
        """
        there = self._numbers(stream)
        if not there:
            raise StreamError(f"stream {stream!r:.80} has no snapshot; start it anew, without resume")
        wanted = there[-1] if number is None else number - 1
        if wanted not in there:
            raise StreamError(
                f"stream {stream!r:.80} has no snapshot of frame {wanted}, the last one is of frame {there[-1]}; "
                f"resume with frame {there[-1] + 1}"
            )
        path = self._of(stream) / f"{wanted}.safetensors"
        return read_bytes(path, StreamError, what="snapshot", limit=_MOST_BYTES)

    def remove(self, stream: str) -> None:
        """Forget a stream. Harmless if there is none."""
        _remove(self._of(stream))

    def prune(self) -> None:
        """Remove what streams left that nobody has gone on with for `keep_seconds`."""
        limit = time.time() - self._keep_seconds
        for folder in self._folder.iterdir():
            with suppress(FileNotFoundError):  # its stream ends right now
                if _FOLDER.fullmatch(folder.name) and folder.stat().st_mtime < limit:
                    _remove(folder)

    def _of(self, stream: str) -> Path:
        return self._folder / hashlib.sha256(stream.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _numbers(self, stream: str) -> list[int]:
        """Of the frames with a snapshot, the newest last."""
        with suppress(FileNotFoundError), os.scandir(self._of(stream)) as entries:
            matches = [(entry.stat().st_mtime_ns, _NAME.fullmatch(entry.name)) for entry in entries]
            return [number for _, number in sorted((when, int(match[1])) for when, match in matches if match)]
        return []


def _remove(folder: Path) -> None:
    """Remove a stream's folder, unless it holds what nobody here has written."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        folder.rmdir()
