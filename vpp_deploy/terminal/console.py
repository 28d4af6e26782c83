"""What every command prints with: plain where nobody looks, rich on a terminal, and messages that are never wrapped."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH: Final = 200
"""Columns for tables that go to a file or a pipe, where nothing should be cut off."""


def stdout() -> Console:
    """The console for what was asked for."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for errors, warnings and progress, so that standard output stays clean."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    # Made anew each time: the streams may have been redirected, and making one is cheap.
    width = None if file.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)


def say(message: str | Text) -> None:
    """Print a line on standard output; a terminal may fold it, nothing else does."""
    stdout().print(message, soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """Print a table or the like on standard output, without the spaces that fill its last column."""
    out = stdout()
    with out.capture() as captured:
        out.print(renderable)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def warn(message: str) -> None:
    """Print `warning: …` on standard error, as one line."""
    stderr().print(Text.assemble(("warning: ", "bold yellow"), one_line(message)), soft_wrap=True)


def fail(label: str, message: str) -> None:
    """Print `label: …` on standard error, as one line."""
    stderr().print(Text.assemble((f"{label}: ", "bold red"), one_line(message)), soft_wrap=True)


def next_command(*words: str) -> None:
    """Say how to go on: a command that can be pasted."""
    say(Text.assemble(("next: ", "bold green"), shlex.join(words)))


def one_line(message: str) -> str:
    """The message without line breaks, and with whatever could disturb a terminal (file names can) spelled out."""
    joined = " ".join(line.strip() for line in message.splitlines())
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in joined)


def print_json(data: Any) -> None:
    """Print data as JSON, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def table(*headers: str, title: str | None = None) -> Table:
    """An empty table in the house style: no frame, bold headers, long cells folded and never cut off."""
    result = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for header in headers:
        result.add_column(header, header_style="bold", overflow="fold")
    return result


def facts(rows: Sequence[tuple[str, str | Text]]) -> Table:
    """Names and values, one pair per line; long values are folded next to their names."""
    result = Table.grid(padding=(0, 2, 0, 0))
    result.add_column(style="bold", no_wrap=True)
    result.add_column(overflow="fold")
    for name, value in rows:
        result.add_row(name, value)
    return result


def heading(text: str) -> None:
    """An empty line and a bold title on standard output."""
    say("")
    say(Text(text, style="bold"))


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A function to report the step that begins: a spinner on a terminal, otherwise a line on standard output."""
    err = stderr()
    if not err.is_terminal:
        yield lambda step: say(one_line(step))
        return
    with err.status("") as status:
        yield lambda step: status.update(Text(one_line(step)))


def megabytes(size: int) -> str:
    """A file size for a human, in units of 10^6 bytes."""
    return f"{size / 1e6:.1f} MB"


def height_by_width(size: Sequence[int]) -> str:
    """A size as the options take it, such as `384x640`."""
    return f"{size[0]}x{size[1]}"


def percent(share: float) -> str:
    """A share in [0, 1], such as `44.8%`."""
    return f"{100 * share:.3g}%"
