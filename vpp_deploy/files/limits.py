"""What opening and running a bundle may take, unless its user allows more."""

from __future__ import annotations

from typing import Final

MOST_MEMORY: Final = 2_000_000_000
"""Bytes that the tensors of a bundle's graphs may take at once, unless whoever opens it allows more."""
MOST_BYTES_OF_JSON: Final = 64_000_000
"""Of a manifest, an engine's record or a parity summary; a larger file is not read."""
