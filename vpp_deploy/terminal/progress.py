"""Progress bars over the frames of a video, the videos of a data set, and the steps of a build."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vpp_deploy.terminal import console

FrameProgress = Callable[[int, int | None], None]
VideoProgress = Callable[[int, int], None]
StepProgress = Callable[[str, float], None]


@contextmanager
def frame_bar() -> Iterator[FrameProgress]:
    """A bar with frames per second and time left, on standard error if that is a terminal; nothing elsewhere.

    Yields:
        A function to call with the number of frames done and, where it is known, the number to come in all.
    """
    err = console.stderr()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[rate]} fps  ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not console.is_watched(err.file)) as bar:
        task = bar.add_task("", total=None, rate="–")

        def update(done: int, expected: int | None) -> None:
            elapsed = bar.tasks[0].elapsed
            total = None if expected is None else max(expected, done)
            bar.update(task, completed=done, total=total, rate=f"{done / elapsed:.1f}" if elapsed else "–")

        yield update


@contextmanager
def video_bar() -> Iterator[VideoProgress]:
    """A bar over the videos of all engines, on standard error if that is a terminal; nothing elsewhere.

    Yields:
        A function to call with the number of videos done and the number in all.
    """
    err = console.stderr()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("videos  ETA"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not console.is_watched(err.file)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def step_bar(what: str) -> Iterator[StepProgress]:
    """A bar over the step that a builder is at, on standard error if that is a terminal; elsewhere one line.

    Args:
        what: is being done.

    Yields:
        A function to call with the name of a step and the share of it that is done.
    """
    err = console.stderr()
    if not console.is_watched(err.file):
        console.say(what)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not console.is_watched(err.file)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda step, share: bar.update(task, description=console.one_line(step), completed=share, total=1.0)
