"""What help pages have in common. Imports nothing of the package, so that the first page is there at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


def flag(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own name
    """An option that takes no value; its help page does not call it `<bool>`."""
    return typer.Option(*names, metavar="", help=help, **settings)


def examples(lines: Sequence[str]) -> str:
    """Example commands as the epilog of a help page; each stays on a line of its own."""
    return "\n".join(["[bold]Examples[/bold]", *lines])
