"""What every command prints with: plain where nobody looks, rich on a terminal, and messages that are never wrapped."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any, Final, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from vpp_deploy.errors import OutputError
from vpp_deploy.terminal.streams import LastingStream

_PLAIN_WIDTH: Final = 200
"""Columns for tables that go to a file or a pipe, where nothing should be cut off."""
_WIDTHS: Final = range(20, 2000)
"""What `COLUMNS` may ask for; anything else, such as the 0 of a terminal without a window, is no width."""


def stdout() -> Console:
    """The console for what was asked for."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for errors, warnings and progress, so that standard output stays clean."""
    return _console(sys.stderr)


class _SafeConsole(Console):
    """A console on which no text of others (names of files, models and classes) can do anything but be read."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give the segments of a renderable, with control characters in its text spelled out."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(_spelled_out(segment.text, but="\n"), segment.style)


def _console(file: TextIO) -> Console:
    # Made anew each time: the streams may have been redirected, and making one is cheap.
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    width = columns()
    if width is None and not file.isatty():
        width = _PLAIN_WIDTH
    return _SafeConsole(file=file, width=width, markup=False, emoji=False, highlight=False, _environ=environment)


def columns(variable: str = "COLUMNS") -> int | None:
    """The width that an environment variable asks for; None where it asks for none that can be."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and len(text) < 5 and int(text) in _WIDTHS else None


def is_watched(file: IO[str]) -> bool:
    """Whether somebody looks at a stream while it is written: `FORCE_COLOR` gives colours to a pipe, not movement."""
    return file.isatty()


def say(message: str | Text) -> None:
    """Print a line on standard output; a terminal may fold it, nothing else does."""
    line = Text(_spelled_out(message)) if isinstance(message, str) else _text_spelled_out(message)
    stdout().print(line, soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """Print a table or the like on standard output, without the spaces that fill its last column."""
    out = stdout()
    with out.capture() as captured:
        out.print(renderable)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1]))


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
    return _spelled_out(" ".join(line.strip() for line in message.splitlines()))


def _spelled_out(text: str, but: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in but else repr(char)[1:-1] for char in text)


def _text_spelled_out(text: Text) -> Text:
    if text.plain.isprintable():
        return text
    result = Text(style=text.style)
    for piece in text.divide(range(1, len(text))):
        result.append_text(piece if piece.plain.isprintable() else Text(_spelled_out(piece.plain), piece.style))
    return result


def print_json(data: Any) -> None:
    """Print data as JSON, and nothing else, on standard output.

    Raises:
        OutputError: it cannot be written, for example to a full disk.
    """
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()
    if isinstance(sys.stdout, LastingStream) and sys.stdout.problem:
        raise OutputError(f"standard output cannot be written: {sys.stdout.problem}")


def table(*headers: str, title: str | None = None) -> Table:
    """An empty table in the house style: no frame, bold headers, long cells folded and never cut off."""
    result = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for header in headers:
        result.add_column(header, header_style="bold", overflow="fold")
    return result


def title(text: str) -> Text:
    """What stands above a table; a title of the table's own would be folded to its width."""
    return Text(one_line(text), style="bold")


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


def height_by_width(size: Sequence[int]) -> str:
    """A size as the options take it, such as `384x640`."""
    return f"{size[0]}x{size[1]}"


def counted(number: int, what: str) -> str:
    """A number of things, such as `1 frame` or `2 frames`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def percent(share: float) -> str:
    """A share in [0, 1], such as `44.8%`."""
    return f"{100 * share:.3g}%"


def points(value: float | None) -> str:
    """A score in percent, such as `78.47`; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"
