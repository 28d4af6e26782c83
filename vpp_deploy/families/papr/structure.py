"""Whether a library's model has the parts that PaPr prunes at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from vpp_deploy.errors import ExportError

_ABSENT = object()


def part(model: nn.Module, path: str) -> Any:
    """The part at a dotted path such as `blocks.0.mlp`, or None if there is none."""
    found: Any = model
    for name in path.split("."):
        if name.isdigit() and hasattr(found, "__getitem__"):
            found = found[int(name)] if int(name) < len(found) else _ABSENT
        else:
            found = getattr(found, name, _ABSENT)
        if found is _ABSENT:
            return None
    return found


def require_structure(
    model: nn.Module, family: str, needed: Mapping[str, str], unwanted: Mapping[str, str] | None = None
) -> None:
    """Hold a model to the structure of its family.

    Args:
        model: the library's model.
        family: for the message, e.g. `a ViT`.
        needed: dotted path of a part to what it is needed for.
        unwanted: dotted path of a part to why it cannot be pruned.

    Raises:
        ExportError: naming every part that is missing or unwanted.
    """
    problems = [f"no {path} ({why})" for path, why in needed.items() if part(model, path) is None]
    problems += [f"{path} ({why})" for path, why in (unwanted or {}).items() if part(model, path) is not None]
    if problems:
        raise ExportError(f"{type(model).__name__} cannot be pruned as {family}: it has {', '.join(problems)}")
