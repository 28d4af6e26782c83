"""How live sources are doing, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.table import Table

from vpp_deploy.serving.live.capture import State
from vpp_deploy.serving.live.feed import FeedStatus
from vpp_deploy.terminal import console

_LONGEST: Final = 100


def status_table(statuses: Iterable[FeedStatus]) -> Table:
    """A line for each source."""
    table = console.table("source", "state", "frames", "per second", "dropped", "errors", "age", "")
    for status in statuses:
        age = "–" if status.age is None else f"{1000 * status.age:.0f} ms"
        row = [status.name, status.state.value, str(status.done), f"{status.rate:.1f}", str(status.dropped)]
        problem = (status.problem or "") if status.state is not State.PLAYING or status.failed else ""
        table.add_row(*map(console.one_line, [*row, str(status.failed), age, _short(problem)]))
    return table


class Changes:
    """What has become different, a line each, for where no table can be shown: in a log."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[State, str | None]] = {}

    def lines(self, statuses: Iterable[FeedStatus]) -> Iterator[str]:
        """Lines about sources whose state is another than when they were asked for last."""
        now = {status.name: (status.state, status.problem) for status in statuses}
        for name in [name for name in self._told if name not in now]:
            del self._told[name]
            yield f"{name}: removed"
        for name, (state, problem) in now.items():
            if state is State.CONNECTING or self._told.get(name) == (state, problem):
                continue
            self._told[name] = state, problem
            yield f"{name}: {state.value}" + (f" ({problem})" if problem else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
