"""What one worker does: it opens the bundle once, and then runs one item after the other, as `infer` would."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

from vpp_deploy._version import __version__
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.corpus.fetching import fetch
from vpp_deploy.corpus.lines import pack
from vpp_deploy.corpus.locations import failing_as, is_url
from vpp_deploy.corpus.plan import Job
from vpp_deploy.corpus.store import open_store
from vpp_deploy.engines import load_engine
from vpp_deploy.errors import EngineOutputError, OutputError, VideoError, VppDeployError
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.tasks import TASKS
from vpp_deploy.tasks.task import RunRequest

_WARNING: Final = "warning: "
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Setup:
    """All that a worker needs to know beforehand.

    Attributes:
        bundle: folder of the bundle.
        backend: whose engine runs.
        load_options: of loading it.
        run_options: the task's.
        facts: of the run, see `run_facts`; markers hold them.
        out: path or URL of the store.
        scratch: folder for what is not ready; made where it is not there.
        max_memory: see `Bundle.open`.
        max_frames: of a video, or None.
        stream: index of the video stream, or None.
        max_pixels: of a picture, or None.
        kept: results say what was kept of each frame.
        overlays: videos with an overlay are made too.
    """

    bundle: Path
    backend: str
    load_options: dict[str, Any]
    run_options: Any
    facts: dict[str, Any]
    out: str
    scratch: Path
    max_memory: int
    max_frames: int | None = None
    stream: int | None = None
    max_pixels: int | None = None
    kept: bool = True
    overlays: bool = False


@dataclass(frozen=True)
class Outcome:
    """How an item went.

    Attributes:
        frames: how many there were.
        seconds: it took.
        warnings: what a user should know about a result, one line each.
        problem: why there is no result; None if there is one.
        final: of a problem: that another attempt would end in the same way.
        error: of a problem that is not this item's: the run must end.
    """

    frames: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    final: bool = False
    error: VppDeployError | None = field(default=None, compare=False)


class Worker:
    """Runs items with an engine of its own.

    Args:
        setup: what to run them with.

    Raises:
        VppDeployError: the bundle, the engine or the store cannot be opened.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        bundle = Bundle.open(setup.bundle, max_memory=setup.max_memory)
        self._task = TASKS[bundle.manifest.task]
        self._engine = load_engine(bundle, setup.backend, **setup.load_options)
        self._store = open_store(setup.out)
        self._scratch = setup.scratch / f"{socket.gethostname()}-{os.getpid()}"
        self._place = str(setup.scratch.parent if is_url(setup.out) else self._store)
        """That the scratch folder lies in, by a name that a user knows."""
        with failing_as(OutputError, f"{self._place}: cannot be written"):
            self._scratch.mkdir(parents=True, exist_ok=True)

    def run(self, job: Job) -> Outcome:
        """Run an item, put its results into the store, then its marker."""
        try:
            with TemporaryDirectory(dir=self._scratch) as folder:
                return self._run_in(Path(folder), job)
        except OSError as error:
            return Outcome(error=OutputError(f"{self._place}: cannot be written: {error.strerror or error}"))

    def _run_in(self, folder: Path, job: Job) -> Outcome:
        begin = perf_counter()
        try:
            source = fetch(job.item, folder)
        except VideoError as error:  # a network that was away may be back
            if _is_full(error):
                return Outcome(error=OutputError(f"{self._place}: cannot be written: {error}"))
            return Outcome(problem=str(error))
        lines, overlay = folder / "lines.jsonl", folder / "overlay.mp4" if self._setup.overlays else None
        known = {
            str(path): self._place if is_url(self._setup.out) else f"{self._place}/{name}"
            for path, name in ((lines, job.result), (overlay, job.overlay))
            if path
        }
        known[str(folder)] = self._place
        given = InputFile(source, stream=self._setup.stream, max_pixels=self._setup.max_pixels, prefix=job.item.prefix)
        try:
            with _heard() as said:
                request = RunRequest(given, overlay, lines, self._setup.max_frames)
                self._task.run(self._engine, request, self._setup.run_options)
        except VppDeployError as error:
            if _is_full(error):
                return Outcome(error=OutputError(_renamed(str(error), known)))
            problem = _renamed(str(error), {source: job.item.name, **known}).removeprefix(f"{job.item.name}: ")
            return Outcome(problem=problem, final=isinstance(error, VideoError | EngineOutputError))
        except Exception as error:  # of one item: the others go on
            return Outcome(problem=f"internal error: {type(error).__name__}: {error}")
        heard = [line.replace(source, job.item.name) for line in (*said, *given.notes)]
        try:
            return self._store_all(job, lines, overlay, heard, begin)
        except OutputError as error:
            return Outcome(error=OutputError(_renamed(str(error), known)))

    def _store_all(self, job: Job, lines: Path, overlay: Path | None, warnings: list[str], begin: float) -> Outcome:
        packed = lines.with_suffix(".gz")
        with failing_as(OutputError, f"{lines}: cannot be written"):
            counts = pack(lines, packed, kept=self._setup.kept)
        for name in job.stale:  # first: no older marker may speak for the new result
            self._store.delete(name)
        content = {
            "item": job.item.name,
            "run": self._setup.facts,
            "source": {"files": len(job.item.files), "bytes": job.item.size},
            "result": {"name": job.result, "bytes": packed.stat().st_size, "sha256": sha256_of_file(packed)},
            "warnings": warnings,
            "vpp_deploy": __version__,
            "wall_seconds": perf_counter() - begin,
            **counts,
        }
        with failing_as(OutputError, f"{lines}: cannot be read"):
            marker = job.marker.with_outputs(packed, overlay)
        self._store.take(packed, job.result)
        if overlay is not None:
            self._store.take(overlay, job.overlay)
        written = lines.with_name("marker.json")  # not written where it goes: an atomic file looks at all that is there
        with failing_as(OutputError, f"{lines}: its marker cannot be written"):
            written.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        self._store.take(written, marker.name)
        return Outcome(counts["frames"], perf_counter() - begin, tuple(warnings))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """A block whose words are for nobody, but for the warnings: those are in the list when it has ended."""
    warnings: list[str] = []
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        yield warnings
    warnings += [line.removeprefix(_WARNING) for line in err.getvalue().splitlines() if line.startswith(_WARNING)]


def _renamed(text: str, known: Mapping[str, str]) -> str:
    """A message with names that a user knows: those of the scratch folder are hidden, and gone when it is read."""
    for name, shown in known.items():
        text = text.replace(name, shown)
    return text


def _is_full(error: BaseException) -> bool:
    """Whether the place for results is at its end, which no other item would survive."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        cause = cause.__cause__
    return False
