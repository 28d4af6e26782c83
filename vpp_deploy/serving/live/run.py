"""Live sources over one pool, added and removed while they run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Final, Self

from vpp_deploy.errors import UsageError, VppDeployError
from vpp_deploy.files.outputs import fitting, make_folder
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.inputs import output_names
from vpp_deploy.media.location import Kind, kind_of, shown
from vpp_deploy.serving.live.capture import FIRST_PAUSE, State
from vpp_deploy.serving.live.feed import Feed, FeedStatus, LiveModel
from vpp_deploy.serving.live.outputs import LINES, LiveLines, LiveVideos
from vpp_deploy.serving.pool import SessionPool
from vpp_deploy.tasks.segmentation.model import SegmentationModel

MOST_SOURCES: Final = 1024
_PATIENCE: Final = 2.0
"""Seconds that the end waits for threads that read; what they read then is nobody's."""


class LiveRun:
    """Runs live sources, each in a stream of its own. A context manager, which ends them with outputs that are whole.

    Each source is read in a thread; of its frames the newest is run when a worker is free, and the others are dropped
    and counted. One that breaks off is opened again; none keeps the others from going on.

    ```python
    with LiveRun(vd.load("small.bundle", threads=1), lines=Path("lines")) as run:
        run.set_sources(["rtsp://door/stream", "rtsp://yard/stream"])
        run.wait(60)
    ```

    Attributes:
        pool: that the frames go through.
        notes: what `set_sources` found that the user should know, each once.

    Args:
        model: that tracks, see `vpp_deploy.load`.
        workers: frames that run at once; None takes a worker for each processor.
        lines: folder for files of JSON lines, one for each source; it is made. None for none.
        videos: folder for overlays; it is made. None for none.
        reading: options of `InputFile` for all sources.
        protect: files and folders that no output may touch, such as the bundle.
        pause: seconds before the first new try to reach a source.

    Raises:
        UsageError: the model does not track, or workers are below 1.
    """

    def __init__(
        self,
        model: Any,
        *,
        workers: int | None = None,
        lines: Path | None = None,
        videos: Path | None = None,
        reading: Mapping[str, Any] | None = None,
        protect: Sequence[Path] = (),
        pause: float = FIRST_PAUSE,
    ) -> None:
        if not isinstance(model, SegmentationModel):
            raise UsageError(
                f"live sources need a model that tracks, and this is a {type(model).__name__}; run it with infer"
            )
        self._manifest = model.manifest
        self._lines, self._videos, self._reading, self._protect = lines, videos, dict(reading or {}), protect
        self._pause = pause
        self._feeds: dict[str, Feed] = {}
        self._leaving: list[Feed] = []
        self._refused: dict[str, FeedStatus] = {}
        self._fatal: VppDeployError | None = None
        self._called = Event()
        self._taken: set[Path] = set()
        self._begun: set[Path] = set()
        self.notes: list[str] = []
        self.pool = SessionPool(LiveModel(model), workers=workers, max_streams=MOST_SOURCES)

    def set_sources(self, locations: Sequence[str]) -> None:
        """Run these sources from now on: new ones begin, those that are not among them end, the others go on.

        One that cannot be begun, for example because its output would overwrite what is read, has that as its problem.

        Args:
            locations: paths, addresses, cameras, see `InputFile`. One that is named twice runs once.
        """
        wanted = list(dict.fromkeys(locations))
        for location in [location for location in self._feeds if location not in wanted]:
            feed = self._feeds.pop(location)
            feed.stop()
            self._leaving.append(feed)
        self._refused = {location: status for location, status in self._refused.items() if location in wanted}
        for location in wanted:
            if location not in self._feeds and location not in self._refused:
                self._begin(location, [path for path in wanted if kind_of(path) is Kind.PATH])

    @property
    def statuses(self) -> list[FeedStatus]:
        """How the sources are doing, in the order in which they came."""
        return [*(feed.status for feed in self._feeds.values()), *self._refused.values()]

    @property
    def over(self) -> bool:
        """Every source has ended."""
        return all(feed.over for feed in self._feeds.values())

    def wait(self, seconds: float) -> None:
        """Let it go on for a while.

        Raises:
            OutputError: an output cannot be written.
        """
        self._called.wait(seconds)
        self._leaving = [feed for feed in self._leaving if not feed.over]
        self._raise()

    def close(self) -> None:
        """End all sources; outputs are whole then. Harmless when called twice."""
        feeds = [*self._feeds.values(), *self._leaving]
        for feed in feeds:
            feed.stop()
        with ExitStack() as stack:  # one that fails must not keep the others
            stack.callback(self.pool.close, drain=False)
            for feed in feeds:
                stack.callback(feed.finish)
        until = time.monotonic() + _PATIENCE
        for feed in feeds:
            feed.capture.join(until - time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self._raise()

    def _begin(self, location: str, paths: Sequence[str]) -> None:
        name = shown(location)
        try:
            if len(self._feeds) + len(self._leaving) >= MOST_SOURCES:  # each has a thread
                raise UsageError(f"{name}: {MOST_SOURCES} sources run, as many as may; run it in another process")
            for folder in filter(None, (self._lines, self._videos)):
                make_folder(folder)
            name = self._free_name(location)
            read: list[str | os.PathLike[str]] = [*paths, *self._protect]
            path = None if self._lines is None else self._lines / fitting(name, LINES)
            check_outputs([] if path is None else [path], inputs=read)
            videos = None
            if self._videos is not None:
                videos = LiveVideos(self._videos, name, self._manifest, self._taken, read)
            feed = Feed(
                name,
                InputFile(location, **self._reading),
                self.pool,
                self._manifest.class_names,
                lines=None if path is None else self._open_lines(path),
                videos=videos,
                fatal=self._fail,
                pause=self._pause,
            )
        except VppDeployError as error:
            self._refused[location] = FeedStatus(name, State.FAILED, 0, 0, 0, 0, 0.0, None, str(error))
            return
        self._feeds[location] = feed
        feed.capture.start()

    def _open_lines(self, path: Path) -> LiveLines:
        lines = LiveLines(path)
        if lines.continued and path not in self._begun:
            self.notes.append(
                f"{path}: there are lines of an earlier run, maybe of another source; new ones come behind"
            )
        self._begun.add(path)
        return lines

    def _free_name(self, location: str) -> str:
        """A name that no source has that is running, or not quite ended."""
        taken = {feed.name.casefold() for feed in (*self._feeds.values(), *self._leaving)}
        (plain,) = output_names([location])
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        return name

    def _raise(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    def _fail(self, error: VppDeployError) -> None:
        self._fatal = self._fatal or error
        self._called.set()
