"""Times the kernels against PyTorch and against the copy bandwidth measured in the same run.

    cmake -S plugins -B build/plugins && cmake --build build/plugins
    python plugins/tests/bench_kernels.py build/plugins/libvpp_kernels_shared.so -o kernels.json

Results are checked against PyTorch first. A time is that of one call in a CUDA graph of 20, as in a captured model, and
the median over replays, kernel and PyTorch in turn. Memory is what a call allocates beyond its result.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import ctypes
import datetime as dt
import json
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
GRIDS = {960: (24, 40), 2040: (34, 60), 3600: (45, 80), 16384: (128, 128)}
CALLS = 20
Run = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Line:
    """One comparison: microseconds, bytes beyond the result, and for copies the share of the copy bandwidth."""

    op: str
    dtype: str
    batch: int
    n: int
    k: int
    channels: int
    kernel_us: float
    torch_us: float
    kernel_bytes: int
    torch_bytes: int
    of_copy_bandwidth: float | None

    @property
    def speedup(self) -> float:
        """PyTorch's time divided by the kernel's."""
        return self.torch_us / self.kernel_us


class Kernels:
    """The shared library; every method enqueues on PyTorch's current stream and returns its result, as PyTorch does."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path.resolve()))

    def _call(
        self, name: str, tensors: tuple[torch.Tensor | None, ...], sizes: tuple[int, ...], workspace: int
    ) -> None:
        scratch = torch.empty(workspace, dtype=torch.uint8, device="cuda")
        pointers = [ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]
        status = getattr(self._library, name)(
            *pointers,
            *map(ctypes.c_int32, sizes),
            ctypes.c_void_p(scratch.data_ptr()),
            ctypes.c_size_t(workspace),
            ctypes.c_void_p(torch.cuda.current_stream().cuda_stream),
        )
        if status != 0:
            raise RuntimeError(f"{name}: CUDA error {status}")

    def select(self, scores: torch.Tensor, k: int, by_score: bool) -> torch.Tensor:
        """`[B, N]` -> `[B, K]` int32."""
        batch, n = scores.shape
        indices = torch.empty(batch, k, dtype=torch.int32, device="cuda")
        workspace = 2 * batch * k if by_score else 0
        self._call("vpp_select", (scores, None, indices), (batch, n, k, int(by_score)), workspace)
        return indices

    def gather(self, tokens: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """`[B, N, C]` at `[B, K]` -> `[B, K, C]`."""
        batch, n, channels = tokens.shape
        k = indices.shape[1]
        gathered = tokens.new_empty(batch, k, channels)
        self._call("vpp_gather", (tokens, indices, gathered), (batch, n, k, channels, DTYPES[tokens.dtype]), 0)
        return gathered

    def scatter(
        self, base: torch.Tensor, indices: torch.Tensor, tokens: torch.Tensor, in_place: bool = False
    ) -> torch.Tensor:
        """`base` `[B, N, C]` with the rows at `indices` replaced; with `in_place` itself."""
        batch, n, channels = base.shape
        scattered = base if in_place else torch.empty_like(base)
        sizes = (batch, n, indices.shape[1], channels, DTYPES[base.dtype])
        self._call("vpp_scatter", (base, indices, tokens, scattered), sizes, 0)
        return scattered

    def associate(
        self, queries: torch.Tensor, keys: torch.Tensor, positions: torch.Tensor, grid: tuple[int, int]
    ) -> torch.Tensor:
        """`[B, N, C]` and keys `[B, K, C]` at `positions` `[B, K]` -> `[B, N]` int32."""
        batch, n, channels = queries.shape
        source = torch.empty(batch, n, dtype=torch.int32, device="cuda")
        sizes = (batch, *grid, keys.shape[1], channels, DTYPES[queries.dtype])
        self._call("vpp_associate", (queries, keys, positions, source), sizes, 8 * batch * n)
        return source


def main() -> None:
    """Print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path, help="libvpp_kernels_shared.so")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench_kernels.json"))
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--dtype", choices=["float32", "float16"], action="append", help="default: both")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: this benchmark needs a GPU")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    kernels = Kernels(arguments.library)
    bandwidth = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, copy bandwidth {bandwidth / 1e9:.0f} GB/s")
    print(f"{'op':18}{'dtype':9}{'batch':>5}{'n':>7}{'k':>7}{'c':>5}{'kernel':>11}{'torch':>11}{'':>8}{'of copy':>9}")
    lines = []
    for line in compare_all(kernels, bandwidth, arguments.repeats, arguments.dtype or ["float32", "float16"]):
        share = "" if line.of_copy_bandwidth is None else f"{line.of_copy_bandwidth:9.0%}"
        print(
            f"{line.op:18}{line.dtype:9}{line.batch:5}{line.n:7}{line.k:7}{line.channels:5}"
            f"{line.kernel_us:8.1f} us{line.torch_us:8.1f} us{line.speedup:7.2f}x{share}"
        )
        lines.append(line)
    record = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "command": shlex.join(["python", *sys.argv]),
        "copy_bandwidth_bytes_per_s": bandwidth,
        "lines": [asdict(line) for line in lines],
    }
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


def compare_all(kernels: Kernels, bandwidth: float, repeats: int, dtypes: Sequence[str]) -> Iterator[Line]:
    """All lines of the table; the program ends at a result that differs from PyTorch's."""
    for dtype in (getattr(torch, name) for name in dtypes):
        for n in (960, 2040, 3600):
            for channels in (192, 384):
                for batch in (1, 8):
                    yield from compare(kernels, dtype, (batch, n, channels), bandwidth, repeats)
        yield from compare(kernels, dtype, (8, 16384, 384), bandwidth, repeats)


def compare(
    kernels: Kernels, dtype: torch.dtype, shape: tuple[int, int, int], bandwidth: float, repeats: int
) -> Iterator[Line]:
    """The lines for tokens of one shape, half of which are selected."""
    batch, n, channels = shape
    k, grid = n // 2, GRIDS[n]
    tokens = torch.randn(shape, device="cuda").to(dtype)
    scores = torch.rand(batch, n, device="cuda")
    indices = kernels.select(scores, k, by_score=False)
    rows = torch.randn(batch, k, channels, device="cuda").to(dtype)
    keys = torch_gather(tokens, indices) / channels
    bias = torch_bias(indices, grid).to(dtype)
    target = tokens.clone()
    places = expanded(indices, channels)

    check("select", indices, torch_select(scores, k, by_score=False))
    check("select by score", kernels.select(scores, k, by_score=True), torch_select(scores, k, by_score=True))
    check("gather", kernels.gather(tokens, indices), torch_gather(tokens, indices))
    check("scatter", kernels.scatter(tokens, indices, rows), torch_scatter(tokens, indices, rows))
    check("scatter in place", kernels.scatter(target, indices, rows, in_place=True), tokens.scatter(1, places, rows))
    check_association(kernels.associate(tokens, keys, indices, grid), tokens, keys, indices, grid)

    row_bytes = channels * tokens.element_size()
    runs: list[tuple[str, Run, Run, int | None]] = [
        (
            "select",
            lambda: kernels.select(scores, k, by_score=False),
            lambda: torch_topk(scores, k, by_score=False),
            None,
        ),
        (
            "select by score",
            lambda: kernels.select(scores, k, by_score=True),
            lambda: torch_topk(scores, k, by_score=True),
            None,
        ),
        (
            "select + gather",
            lambda: kernels.gather(tokens, kernels.select(scores, k, by_score=False)),
            lambda: torch_gather(tokens, torch_topk(scores, k, by_score=False)),
            None,
        ),
        (
            "gather",
            lambda: kernels.gather(tokens, indices),
            lambda: torch_gather(tokens, indices),
            2 * batch * k * row_bytes,
        ),
        (
            "scatter",
            lambda: kernels.scatter(tokens, indices, rows),
            lambda: torch_scatter(tokens, indices, rows),
            2 * batch * n * row_bytes,
        ),
        (
            "scatter in place",
            lambda: kernels.scatter(target, indices, rows, in_place=True),
            lambda: target.scatter_(1, places, rows),
            2 * batch * k * row_bytes,
        ),
        (
            "associate",
            lambda: kernels.associate(tokens, keys, indices, grid),
            lambda: (tokens @ keys.transpose(1, 2) + bias).argmax(-1),
            None,
        ),
        (
            "associate, no bias",
            lambda: kernels.associate(tokens, keys, indices, grid),
            lambda: (tokens @ keys.transpose(1, 2)).argmax(-1),
            None,
        ),
    ]
    for op, kernel, torch_form, moved in runs:
        kernel_us, torch_us = alternating_us(kernel, torch_form, repeats)
        share = None if moved is None else moved / (kernel_us * 1e-6) / bandwidth
        name = str(dtype).removeprefix("torch.")
        memory = (extra_bytes(kernel), extra_bytes(torch_form))
        yield Line(op, name, batch, n, k, channels, kernel_us, torch_us, *memory, share)


def expanded(indices: torch.Tensor, channels: int) -> torch.Tensor:
    """`[B, K]` -> `[B, K, C]` int64, the form that `gather` and `scatter` of PyTorch take."""
    return indices.long().unsqueeze(-1).expand(-1, -1, channels)


def torch_select(scores: torch.Tensor, k: int, by_score: bool) -> torch.Tensor:
    """The op's reference: ties go to the lower position."""
    ranked = scores.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    return (ranked if by_score else ranked.sort(dim=-1).values).int()


def torch_topk(scores: torch.Tensor, k: int, by_score: bool) -> torch.Tensor:
    """The fastest form in PyTorch, whose ties go anywhere."""
    ranked = scores.topk(k, sorted=by_score).indices
    return (ranked if by_score else ranked.sort(dim=-1).values).int()


def torch_gather(tokens: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """The fastest form in PyTorch."""
    if tokens.shape[0] == 1:
        return tokens.index_select(1, indices[0])
    return tokens.gather(1, expanded(indices, tokens.shape[2]))


def torch_scatter(base: torch.Tensor, indices: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The fastest form in PyTorch."""
    if base.shape[0] == 1:
        return base.index_copy(1, indices[0].long(), rows)
    return base.scatter(1, expanded(indices, base.shape[2]), rows)


def torch_bias(positions: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The positional term `[B, N, K]`; a table made once, outside the timing."""
    rows, columns = grid
    x = torch.linspace(0, 1, columns, device="cuda").repeat(rows)
    y = torch.linspace(0, 1, rows, device="cuda").repeat_interleave(columns)
    at = positions.long()
    distance = (x[:, None] - x[at][:, None]).abs() + (y[:, None] - y[at][:, None]).abs()
    return torch.log10(5 * (2 - distance) + 1e-6)


def check(op: str, result: torch.Tensor, expected: torch.Tensor) -> None:
    """End the program unless both are equal."""
    if not torch.equal(result, expected):
        sys.exit(f"{op}: differs from PyTorch at {(result != expected).sum().item()} of {result.numel()} elements")


def check_association(
    result: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, positions: torch.Tensor, grid: tuple[int, int]
) -> None:
    """The chosen key's similarity, in float64, is the best but for the rounding of float32."""
    bias = torch_bias(positions, grid)
    for item in range(queries.shape[0]):
        similarity = queries[item].double() @ keys[item].double().T + bias[item]
        chosen = similarity.gather(1, result[item].long().unsqueeze(-1))[:, 0]
        deficit = (similarity.max(dim=-1).values - chosen).max().item()
        if deficit > 1e-4:
            sys.exit(f"associate: a chosen key is worse than the best one by {deficit:g}")


def copy_bandwidth() -> float:
    """Bytes read and written per second by a copy of 1 GiB on the device."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    microseconds, _ = alternating_us(lambda: target.copy_(source), lambda: target.copy_(source), 10)
    return 2 * source.numel() / (microseconds * 1e-6)


def alternating_us(first: Run, second: Run, repeats: int) -> tuple[float, float]:
    """Median time per call of both, replayed in turn."""
    graphs = captured(first), captured(second)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for graph, series in zip(graphs, times, strict=True):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            series.append(start.elapsed_time(end) * 1000 / CALLS)
    return statistics.median(times[0]), statistics.median(times[1])


def captured(run: Run) -> torch.cuda.CUDAGraph:
    """`CALLS` calls as a CUDA graph, replayed once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            run()
    graph.replay()
    torch.cuda.synchronize()
    return graph


def extra_bytes(run: Run) -> int:
    """The most memory that a call holds beyond its result."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = run()
    torch.cuda.synchronize()
    return max(0, torch.cuda.max_memory_allocated() - before - result.numel() * result.element_size())


if __name__ == "__main__":
    main()
