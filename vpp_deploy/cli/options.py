"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import UsageError
from vpp_deploy.files.limits import MOST_MEMORY
from vpp_deploy.options import MOST


def bytes_of(gigabytes: float | None) -> int:
    """What `--max-memory` allows."""
    return MOST_MEMORY if gigabytes is None else int(gigabytes * 1e9)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels from the value of `--size`, such as `384x640`.

    Raises:
        UsageError: it is not of this form.
    """
    if not (match := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)):
        raise UsageError(f"--size {text!r} is not HEIGHTxWIDTH in pixels, such as 384x640")
    return int(match[1]), int(match[2])


BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that `vpp-deploy export` wrote.", show_default=False)
]
EngineOption = Annotated[str, typer.Option("--engine", metavar="NAME", help=f"Backend: {', '.join(BACKENDS)}.")]
StreamOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Of a video file: the index of the video stream, as ffprobe shows it.",
        show_default="the film",
        min=0,
        max=MOST,
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Of an address on the network: how long to wait for data.",
        show_default="10",
        min=0.1,
        max=3600,
    ),
]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Refuse pictures of more pixels.", show_default="178956970", min=1, max=MOST),
]
MaxMemoryOption = Annotated[
    float | None,
    typer.Option(
        metavar="GB",
        help="Refuse a bundle whose tensors take more memory at once.",
        show_default=f"{MOST_MEMORY / 1e9:g}",
        min=0.001,
        max=1e6,
    ),
]
JsonFlag = Annotated[bool, flag("--json", help="Print JSON, and nothing else, on standard output.")]
