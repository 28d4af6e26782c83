"""The kernels of embedded plugins: their PTX, and how each op launches one (plugins/kernels/embedded.cuh)."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import ceil
from typing import Final

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import PluginError

PTX_FILE: Final = "embedded.ptx.gz"
"""In this package; `python plugins/embed.py` writes it from plugins/kernels."""
MAX_RANKED: Final = 4096
"""Tokens that a selection by score can put in order."""

_SUFFIXES: Final[Mapping[str, str]] = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_ENTRY: Final = ".visible .entry "


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch.

    Attributes:
        entry: name of the kernel.
        arguments: int32, between the input pointers and the output pointer.
        grid: blocks along x, y and z.
        block: threads of a block, along x.
        shared_bytes: dynamic shared memory of a block.
    """

    entry: str
    arguments: tuple[int, ...]
    grid: tuple[int, int, int]
    block: int
    shared_bytes: int = 0


def select(shape: Sequence[int], k: int, by_position: bool) -> Launch:
    """Selection of `k` of scores `[B, N]`.

    Raises:
        PluginError: more tokens by score than the kernel puts in order.
    """
    batch, n = shape
    if by_position:
        return Launch("vpp_select_embedded", (n, k), (batch, 1, 1), 1024)
    if k > MAX_RANKED:
        raise PluginError(
            f"embedded plugins select at most {MAX_RANKED} tokens by score, not {k}; build with --plugins library"
        )
    return Launch("vpp_select_by_score_embedded", (n, k), (batch, 1, 1), 1024, 2 * k)


def gather(shape: Sequence[int], k: int, dtype: str) -> Launch:
    """Gathering of `k` of tokens `[B, N, C]`."""
    batch, n, channels = shape
    elements = 16384 // _bytes(dtype)  # a block's share
    return Launch(
        f"vpp_gather_embedded_{_by_size(dtype)}", (n, k, channels), (ceil(k * channels / elements), batch, 1), 256
    )


def scatter(shape: Sequence[int], k: int, dtype: str) -> Launch:
    """Scattering of `k` tokens into `[B, N, C]`."""
    batch, n, channels = shape
    rows = min(2048, ceil(max(32768, 16 * k) / (channels * _bytes(dtype))))
    return Launch(f"vpp_scatter_embedded_{_by_size(dtype)}", (n, k, channels), (ceil(n / rows), batch, 1), 256)


def associate_parts(shape: Sequence[int], k: int, grid: tuple[int, int], parts: int, dtype: str) -> Launch:
    """Association of queries `[B, rows * columns, C]` with each part of `k` keys: candidates `[B, parts, N, 2]`."""
    batch, n, channels = shape
    threads = 256 if dtype == "float32" else 128
    entry = f"vpp_associate_parts_embedded_{_SUFFIXES[dtype]}"
    return Launch(entry, (k, channels, *grid), (ceil(n / 64), parts, batch), threads)


def associate_best(shape: Sequence[int]) -> Launch:
    """The best of candidates `[B, parts, N, 2]`."""
    batch, parts, n, _ = shape
    return Launch("vpp_associate_best_embedded", (parts, n), (ceil(n / 256), 1, batch), 256)


def ptx(entry: str) -> str:
    """A PTX module with one kernel, so that an engine carries no more than it launches."""
    preamble, *entries = _module().split(_ENTRY)
    body = next(body for body in entries if body.startswith(f"{entry}("))
    return f"{preamble}{_ENTRY}{body}"


@cache
def digest() -> str:
    """SHA-256 of the kernels."""
    return sha256_of_bytes(_module().encode())


@cache
def _module() -> str:
    return gzip.decompress(resources.files(__package__).joinpath(PTX_FILE).read_bytes()).decode()


def _bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _by_size(dtype: str) -> str:
    """Rows are moved by size: bfloat16 as float16."""
    return "f32" if dtype == "float32" else "f16"
