"""What a report looks like in a terminal."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def on_a_terminal(renderable: RenderableType, width: int = 80) -> str:
    """The text, without colours."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()
