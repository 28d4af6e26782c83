"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

ENGINES: Final = ("onnxruntime", "tensorrt-rtx", "tensorrt")
"""`vpp_deploy.engines.BACKENDS`, named here too so that a help page need not load them."""


def flag(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own name
    """An option that takes no value; its help page does not call it `<bool>`."""
    return typer.Option(*names, metavar="", help=help, **settings)


def examples(lines: Sequence[str]) -> str:
    """Example commands as the epilog of a help page; each stays on a line of its own."""
    return "\n".join(["[bold]Examples[/bold]", *lines])


BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that `vpp-deploy export` wrote.", show_default=False)
]
EngineOption = Annotated[str, typer.Option("--engine", metavar="NAME", help=f"Backend: {', '.join(ENGINES)}.")]
JsonFlag = Annotated[bool, flag("--json", help="Print JSON, and nothing else, on standard output.")]
