"""Tables of a page, those that `inspect` prints and others, as rows of text; and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        rows: of cells; the first cell of a row names it.
        headers: of the columns; none of a table of names and values.
        numbers: the columns, from 0, that hold numbers.
    """

    rows: Sequence[Sequence[str]]
    headers: Sequence[str] = ()
    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class Block:
    """A picture, a table, or both, under a heading.

    Attributes:
        heading: of the block; empty for none.
        text: one paragraph; empty for none.
        figure: the picture.
        table: the table, or a sentence in its place.
        lines: a list, such as of problems.
    """

    heading: str = ""
    text: str = ""
    figure: Markup | None = None
    table: Table | str | None = None
    lines: Sequence[str] = ()


def from_terminal(drawn: RenderableType) -> Table | str:
    """What a command prints, as a table; or the sentence that stands in its place."""
    if not isinstance(drawn, RichTable):
        return _plain(drawn)
    columns = [[_plain(cell) for cell in column.cells] for column in drawn.columns]
    headers = [_plain(column.header) for column in drawn.columns] if drawn.show_header else []
    return Table(list(zip(*columns, strict=True)), headers)


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
