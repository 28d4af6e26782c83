"""The types that the products of an exported graph can compute in."""

from __future__ import annotations

from typing import Literal, get_args

from vpp_deploy.errors import UsageError

Precision = Literal["float32", "float16", "bfloat16"]


def check_precision(text: str, name: str = "precision") -> Precision:
    """The precision that a user named.

    Args:
        text: what was given.
        name: what the user knows it by.

    Raises:
        UsageError: it is none.
    """
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if text == precision:
            return precision
    raise UsageError(f"unknown {name} {text!r}; use one of {', '.join(known)}")
