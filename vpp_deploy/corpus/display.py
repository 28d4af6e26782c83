"""A live table of a batch on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vpp_deploy.corpus.supervisor import Tally
from vpp_deploy.terminal import console

_SHOWN: Final = 16
"""Workers that have a line."""


@contextmanager
def live_table(jobs: int, size: int) -> Iterator[Callable[[Tally], None]]:
    """A bar with the time left and a line for each worker, on standard error if that is a terminal; nothing elsewhere.

    Args:
        jobs: how many there are.
        size: bytes of their sources, by which the time left is reckoned.

    Yields:
        A function to call with how it goes.
    """
    err = console.stderr()
    if not console.is_watched(err.file):
        yield lambda tally: None
        return
    columns = (BarColumn(), TextColumn("{task.fields[counts]}  ETA"), TimeRemainingColumn())
    bar = Progress(*columns, console=err)
    task = bar.add_task("", total=max(1, size), counts=f"0/{jobs}")
    begin = monotonic()
    with Live(bar, console=err, transient=True) as live:

        def update(tally: Tally) -> None:
            rate = tally.frames / max(1e-9, monotonic() - begin)
            counts = f"{tally.done}/{jobs}, {len(tally.failed)} failed  {rate:.1f} fps"
            bar.update(task, completed=tally.bytes_done, counts=counts)
            live.update(Group(bar, _workers(tally)), refresh=True)

        yield update


def _workers(tally: Tally) -> Table:
    table = console.table("worker", "runs", "s")
    busy = sorted(tally.busy.items())
    for worker, (job, since) in busy[:_SHOWN]:
        table.add_row(str(worker), console.one_line(job.item.name), f"{monotonic() - since:.0f}")
    if len(busy) > _SHOWN:
        table.add_row("", f"… and {len(busy) - _SHOWN} more", "")
    return table
