"""Phrases that the problems and notes of every parity report share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vpp_deploy.parity.selection import SelectionDifference
from vpp_deploy.parity.tensors import TensorDifference

_LISTED = 5
_PLURALS: Mapping[str, str] = {
    "token": "tokens",
    "patch": "patches",
    "query": "queries",
    "identity": "identities",
}


def listed(noun: str, values: Sequence[int]) -> str:
    """`token 4`, or `tokens 4, 7, 9, 11, 12 and 3 more`."""
    named = ", ".join(str(value) for value in values[:_LISTED])
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return f"{noun if len(values) == 1 else _PLURALS[noun]} {named}{more}"


def exceeds(tensor: TensorDifference, tolerance: float) -> str:
    """By how much a tensor is out of tolerance."""
    return f"max |difference| {tensor.maximum:.2g} > {tolerance:g}"


def mismatch(noun: str, selection: SelectionDifference) -> str:
    """Which tokens or patches one side alone keeps, other than ties."""
    tokens = [token for token in selection.differing if token.kind == "mismatch"]
    sides = [
        f"{listed(noun, [token.position for token in tokens if token.kept_by == side])} only in the {side}"
        for side in ("reference", "engine")
        if any(token.kept_by == side for token in tokens)
    ]
    return f"kept {_PLURALS[noun]} differ beyond ties: {', '.join(sides)}"


def not_finite(count: int) -> str:
    """How many values are not finite."""
    return f"{count} NaN or infinite values"
