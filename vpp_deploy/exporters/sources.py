"""Where the weights of an export come from, as far as that can be checked without PyTorch."""

from __future__ import annotations

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
    if request.checkpoint is not None and not request.checkpoint.exists():
        raise CheckpointError(f"checkpoint {request.checkpoint}: no such file")
