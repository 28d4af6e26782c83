"""Weights that are in memory, as a checkpoint: whatever reads and checks files then serves them too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from safetensors import SafetensorError

from vpp_deploy.errors import CheckpointError, OutputError, UsageError

_NAME: Final = "state_dict.safetensors"
"""As the bundle's manifest will call it."""


@contextmanager
def written(state_dict: Mapping[str, Any]) -> Iterator[Path]:
    """A file with the tensors, while the block lasts.

    Args:
        state_dict: a PyTorch tensor by each name, on any device.

    Raises:
        UsageError: something else, or nothing.
        CheckpointError: a tensor that no file holds: sparse, quantised, without data.
        OutputError: there is no room for it in the folder for temporary files.
    """
    import torch  # exporting needs it, importing this package does not
    from safetensors.torch import save_file

    if not isinstance(state_dict, Mapping) or not state_dict:
        raise UsageError(f"state_dict is {type(state_dict).__name__}: give what a module's state_dict() gives")
    if others := [name for name, value in state_dict.items() if not isinstance(value, torch.Tensor)]:
        kind = type(state_dict[others[0]]).__name__
        raise UsageError(
            f"state_dict: {others[0]!r:.80} is a {kind}; give tensors alone, as a module's state_dict() does"
        )
    with ExitStack() as stack:
        try:
            path = Path(stack.enter_context(TemporaryDirectory(prefix="vpp-deploy-"))) / _NAME
            # Copies: a file cannot say that two names share memory.
            save_file(
                {str(name): value.detach().cpu().contiguous().clone() for name, value in state_dict.items()}, path
            )
        except OSError as error:
            raise OutputError(
                f"the weights cannot be written to a temporary file: {error.strerror or error}"
            ) from error
        except (SafetensorError, NotImplementedError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"state_dict cannot be saved ({' '.join(str(error).split()):.200})") from error
        yield path
