"""What opening and running a bundle may take, unless its user allows more, and how numbers of bytes are told."""

from __future__ import annotations

from typing import Final

MOST_MEMORY: Final = 2_000_000_000
"""Bytes that the tensors of a bundle's graphs may take at once, unless whoever opens it allows more."""
MOST_BYTES_OF_JSON: Final = 64_000_000
"""Of a manifest, an engine's record or a parity summary; a larger file is not read."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def in_bytes(count: int) -> str:
    """A number of bytes for a human: three digits and a unit of a power of 1000, such as `512 B` or `16.7 MB`."""
    for power, unit in enumerate(_UNITS):
        if count < 999.5 * 1000**power:
            return f"{count / 1000**power:.3g} {unit}"
    return "petabytes"
