"""Files that libraries publish under a name: fetched from the Hugging Face Hub, or taken from its cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError

from vpp_deploy.errors import CheckpointError
from vpp_deploy.files import interrupts

WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
"""Names of a repository's weights, the better format first."""

_PATIENCE: Final = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", "4"))
"""Seconds that the hub may take to answer whether it has a file."""


def fetch(repository: str, names: Sequence[str] = WEIGHTS) -> Path:
    """The first of these files that a repository has; its cached copy where the hub cannot be reached.

    Args:
        repository: `owner/name`; or a local folder with such files.
        names: of the files, in the order of preference.

    Raises:
        CheckpointError: the repository has none of them, or neither the hub nor its cache gives one.
    """
    if (folder := Path(repository)).is_dir():
        found = next((folder / name for name in names if (folder / name).is_file()), None)
    else:
        found = _from_hub(repository, names)
    if found is None:
        raise CheckpointError(f"{repository} publishes no {' or '.join(names)}; give a checkpoint file")
    return found


def _from_hub(repository: str, names: Sequence[str]) -> Path | None:
    try:
        for name in names:
            if _exists(repository, name):
                return Path(hf_hub_download(repository, name))
    except Exception as error:  # the hub and what it stands on raise many types
        interrupts.let_pass(error)
        cached = (try_to_load_from_cache(repository, name) for name in names)
        if (path := next((path for path in cached if isinstance(path, str)), None)) is not None:
            return Path(path)
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise CheckpointError(
            f"the weights of {repository} could not be fetched: {reason}; give a checkpoint file"
        ) from error
    return None


def _exists(repository: str, name: str) -> bool:
    try:
        # Asks once: a download goes on asking for half a minute where there is no network.
        get_hf_file_metadata(hf_hub_url(repository, name), timeout=_PATIENCE)
    except RemoteEntryNotFoundError:
        return False
    return True
