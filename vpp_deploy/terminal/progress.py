"""Progress bars over frames of a video, videos of a data set, steps of a build and phases of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from vpp_deploy.options import Step
from vpp_deploy.terminal import console

FrameProgress = Callable[[int, int | None], None]
VideoProgress = Callable[[int, int, str], None]
StepProgress = Callable[[str, float], None]
PhaseProgress = Callable[[str], None]


@contextmanager
def frame_bar(what: str = "frame") -> Iterator[FrameProgress]:
    """A bar with frames per second and time left, on standard error if that is a terminal; nothing elsewhere.

    Args:
        what: is counted.

    Yields:
        A function to call with the number of frames done and, where it is known, the number to come in all.
    """
    with _bar(BarColumn(), _Count(what), _Rate(), _Clock(), _Left()) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, expected: int | None) -> None:
            bar.update(task, completed=done, total=None if expected is None else max(expected, done))

        yield update


@contextmanager
def video_bar(what: str = "video") -> Iterator[VideoProgress]:
    """A bar over the videos of all engines, on standard error if that is a terminal; nothing elsewhere.

    Args:
        what: is counted.

    Yields:
        A function to call with the number of them done, the number in all, and what is next.
    """
    with _bar(BarColumn(), _Count(what), _Clock(), _Left(), _Description()) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=total, description=console.one_line(what)
        )


@contextmanager
def step_bar(what: str) -> Iterator[StepProgress]:
    """A bar over the step that a builder is at, on standard error if that is a terminal; elsewhere one line.

    Args:
        what: is being done.

    Yields:
        A function to call with the name of a step and the share of it that is done.
    """
    if not console.is_watched(console.stderr().file):
        console.say(what)
    with _bar(_Description(), BarColumn(), _Clock()) as bar:
        task = bar.add_task(console.one_line(what), total=None)
        yield lambda step, share: bar.update(task, description=console.one_line(step), completed=share, total=1.0)


@contextmanager
def phase_bar() -> Iterator[PhaseProgress]:
    """The phase that long work is in, with the time since its begin and what is left: on a terminal, on standard error.

    Elsewhere each phase is a line on standard output.

    Yields:
        A function to call with the phase that begins; a `Step` moves the bar and gives an estimate.
    """
    if not console.is_watched(console.stderr().file):
        yield lambda phase: console.say(console.one_line(phase))
        return
    with _bar(SpinnerColumn(), _Description(), BarColumn(), _Clock(), _Estimate()) as bar:
        task = bar.add_task("", total=None, whole=None)

        def update(phase: str) -> None:
            if isinstance(phase, Step) and phase.share > 0:
                bar.update(task, completed=phase.share, total=1.0, whole=(bar.tasks[0].elapsed or 0) / phase.share)
            bar.update(task, description=console.one_line(phase))

        yield update


def _bar(*columns: ProgressColumn) -> Progress:
    err = console.stderr()
    return Progress(*columns, console=err, transient=True, disable=not console.is_watched(err.file))


class _Description(TextColumn):
    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False)


class _Count(ProgressColumn):
    """How many of how many; only the former where the latter is not known."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def render(self, task: Task) -> Text:
        number = int(task.completed if task.total is None else task.total)
        of = "" if task.total is None else f" of {number}"
        return Text(f"{int(task.completed)}{of} {self._what}{'' if number == 1 else 's'}", "progress.download")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:.1f} per second" if task.completed and task.elapsed else "")


class _Clock(ProgressColumn):
    """The time since the begin; rich's own stops when a task is done, and a build's steps are done again and again."""

    def render(self, task: Task) -> Text:
        return Text(_time(task.elapsed or 0), "progress.elapsed")


class _Left(ProgressColumn):
    """The time left at the speed until now, where the end is known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        return Text("" if seconds is None or task.finished else f"{_time(seconds)} left", "progress.remaining")


class _Estimate(ProgressColumn):
    """The time left if the phases take their usual shares."""

    def render(self, task: Task) -> Text:
        whole = task.fields["whole"]
        left = None if whole is None else whole - (task.elapsed or 0)
        return Text("" if left is None or left < 1 else f"about {_time(left)} left", "progress.remaining")


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
