"""What bars say, on a terminal that keeps everything that is printed."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.progress import Progress

from vpp_deploy.options import Step
from vpp_deploy.terminal import console, progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    shown = Console(file=stream, force_terminal=True, width=160, color_system=None, _environ={"TERM": "xterm"})
    monkeypatch.setattr(console, "stderr", lambda: shown)
    monkeypatch.setattr(console, "is_watched", lambda file: True)
    return stream


def last_line(stream: io.StringIO) -> str:
    """The bar at its end."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip()][-1]


def test_frames_of_a_known_number(terminal: io.StringIO) -> None:
    with progress.frame_bar() as update:
        update(3, 48)
    assert re.search(r"3 of 48 frames .* per second", last_line(terminal))


def test_frames_of_an_unknown_number_are_counted_and_no_end_is_made_up(terminal: io.StringIO) -> None:
    with progress.frame_bar() as update:
        update(1, None)
    assert "1 frame " in last_line(terminal)
    assert "?" not in last_line(terminal)
    assert " left" not in terminal.getvalue()


def test_more_frames_than_the_file_announced(terminal: io.StringIO) -> None:
    with progress.frame_bar() as update:
        update(50, 48)
    assert "50 of 50 frames" in last_line(terminal)


def test_videos_are_named_and_harmless(terminal: io.StringIO) -> None:
    with progress.video_bar() as update:
        update(1, 4, "torch: [bold]\x1bvideo")
    assert "1 of 4 videos" in last_line(terminal)
    assert r"torch: [bold]\x1bvideo" in last_line(terminal)


def test_the_clock_runs_on_when_a_step_is_done() -> None:
    now = [0.0]
    bar = Progress(progress._Clock(), get_time=lambda: now[0], disable=True)
    task = bar.add_task("", total=1.0)
    shown = []
    for time, share in ((5.0, 1.0), (70.0, 0.5), (3700.0, 1.0)):
        now[0] = time
        bar.update(task, completed=share)
        shown.append(str(progress._Clock().render(bar.tasks[0])))
    assert shown == ["0:05", "1:10", "1:01:40"]


def test_phases_give_an_estimate_where_their_shares_are_known() -> None:
    now = [0.0]
    bar = Progress(get_time=lambda: now[0], disable=True)
    bar.add_task("", total=None, whole=None)
    column = progress._Estimate()
    assert str(column.render(bar.tasks[0])) == ""
    now[0] = 10.0
    bar.update(bar.tasks[0].id, whole=bar.tasks[0].elapsed / 0.25)
    assert str(column.render(bar.tasks[0])) == "about 0:30 left"
    now[0] = 25.0
    assert str(column.render(bar.tasks[0])) == "about 0:15 left"
    now[0] = 45.0
    assert str(column.render(bar.tasks[0])) == ""


def test_a_phase_moves_the_bar(terminal: io.StringIO) -> None:
    with progress.phase_bar() as update:
        update("loading PyTorch")
        update(Step("tracing the graph", 1e-6))
    assert re.search(r"tracing the graph .*about \d+:\d\d:\d\d left|tracing the graph .*\d:\d\d", last_line(terminal))


def test_without_a_terminal_phases_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.phase_bar() as update:
        update("loading PyTorch")
        update(Step("tracing the graph", 0.5))
    assert capsys.readouterr().out.splitlines() == ["loading PyTorch", "tracing the graph"]
