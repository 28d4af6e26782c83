"""What is written of a live source: lines that can be read while it runs, and videos that are whole when they end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.errors import OutputError
from vpp_deploy.files.outputs import fitting
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.files.temporary import is_at, lock_now
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.writer import VideoWriter
from vpp_deploy.tasks.segmentation.overlay import Overlay
from vpp_deploy.tasks.segmentation.results import FrameResult

LINES: Final = ".jsonl"
VIDEO: Final = ".mp4"
_CLOCK: Final = Fraction(1, 90_000)
_AT_ONCE: Final = 1 << 20


class LiveLines:
    """A file of JSON lines that grows: a line is there, whole, as soon as it is written. What is there already stays.

    Attributes:
        path: of the file.
        continued: there were lines already.

    Args:
        path: of the file. Half a line at its end, which a kill left, is cut off.

    Raises:
        OutputError: it cannot be written, or another run writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = self._opened()
            _cut_off_half_a_line(path)
            self.continued = os.fstat(self._file.fileno()).st_size > 0
        except (OSError, ValueError) as error:
            raise self._failure(error) from error

    def _opened(self) -> FileIO:
        while True:
            file = self.path.open("ab", buffering=0)
            if not lock_now(file.fileno()):
                file.close()
                raise OutputError(f"{self.path}: another run writes here; wait for it, or give each a place of its own")
            if is_at(self.path.resolve(), file.fileno()):
                return file
            file.close()  # that run has just ended, and removed it for it had no line

    def append(self, record: Mapping[str, Any]) -> None:
        """Append an object.

        Raises:
            OutputError: writing failed, for example on a full disk; the lines before are whole.
        """
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):
                os.truncate(self.path, self._file.tell() - (written or 0))
                raise OSError(f"{written} of {len(line)} bytes")
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file; one without a line goes."""
        with suppress(OSError):  # somebody else has removed it
            if not os.fstat(self._file.fileno()).st_size:
                self.path.unlink()
        self._file.close()

    def _failure(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or error
        return OutputError(f"{self.path}: cannot be written: {reason}; is the disk full, or the folder closed?")


class LiveVideos:
    """Overlays of a source: a video, and a further one whenever its frames change their size.

    Each appears under its name when it ends; what is there already stays. Times are those at which frames were
    received.

    Args:
        folder: for the videos.
        name: of the source: `NAME.mp4`, `NAME-2.mp4`, …
        manifest: of the bundle.
        taken: names of the run's videos until now, of all sources.
        read: files and folders that no video may touch.

    Raises:
        UsageError: the first video would be one of them.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        manifest: SegmentationManifest,
        taken: set[Path],
        read: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self._folder, self._name, self._manifest, self._taken, self._read = folder, name, manifest, taken, read
        self._writer: VideoWriter | None = None
        self._overlay: Overlay | None = None
        self._size: Size = (0, 0)
        self._begin = 0.0
        self._next()

    def write(self, frame: Frame, result: FrameResult, received: float) -> None:
        """Draw a frame.

        Args:
            frame: that was run.
            result: of it.
            received: seconds of the monotonic clock.

        Raises:
            OutputError: writing failed.
            UsageError: a further video would overwrite what is read.
        """
        if self._writer is None or self._overlay is None or frame.original_size != self._size:
            self.close()
            self._size, self._begin = frame.original_size, received
            self._overlay = Overlay.of(self._manifest, self._size)
            path = self._next()
            self._writer = VideoWriter(path, self._overlay.size, time_base=_CLOCK)
            self._taken.add(path)
        self._writer.write(self._overlay(frame, result), Fraction(received - self._begin))

    def close(self) -> None:
        """Finish the video; it gets its name.

        Raises:
            OutputError: writing failed; nothing is left of it.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _next(self) -> Path:
        number, name = 1, self._name
        check_outputs([self._folder / fitting(name, VIDEO)], inputs=self._read)
        while (path := self._folder / fitting(name, VIDEO)) in self._taken or os.path.lexists(path):
            number += 1
            name = f"{self._name}-{number}"
        check_outputs([path], inputs=self._read)
        return path


def _cut_off_half_a_line(path: Path) -> None:
    with path.open("rb+") as file:
        stop = file.seek(0, os.SEEK_END)
        while stop:
            start = max(0, stop - _AT_ONCE)
            file.seek(start)
            if (end := file.read(stop - start).rfind(b"\n")) >= 0:
                file.truncate(start + end + 1)
                return
            stop = start
        file.truncate(0)
