"""Where the weights of an export come from, as far as that can be checked without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path

from vpp_deploy.errors import CheckpointError, UsageError
from vpp_deploy.exporters.request import ExportRequest


def check_one_source(request: ExportRequest) -> None:
    """See that there is exactly one source of weights, and that its file is there; a module in memory is one too.

    Raises:
        UsageError: none, or several.
        CheckpointError: the file is not there.
    """
    sources = {
        "--checkpoint": request.checkpoint is not None,
        "--random-weights": request.random_weights is not None,
        "a model with weights of its own": not isinstance(request.model, str),
    }
    given = [name for name, is_given in sources.items() if is_given]
    if not given:
        raise UsageError(
            f"{request.model} needs weights: give --checkpoint FILE, or --random-weights to try things out "
            "(in Python checkpoint=, random_weights=)"
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    check_exists(request.checkpoint)


def check_exists(checkpoint: Path | None) -> None:
    """See that the file of a checkpoint is there, if one is given.

    Raises:
        CheckpointError: it is not, or that cannot be seen.
    """
    if checkpoint is None:
        return
    try:
        checkpoint.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"checkpoint {checkpoint}: {no_such_file(checkpoint)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"checkpoint {checkpoint}: cannot be read ({reason})") from error


def no_such_file(path: Path) -> str:
    """That a file is not there, with a hint where its name is one of another system."""
    if os.sep == "/" and "\\" in str(path):
        return "no such file; its name has backslashes: write folders with /"
    return "no such file"
