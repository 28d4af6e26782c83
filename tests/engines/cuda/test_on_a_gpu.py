"""Our device layer, and the PTX of the embedded kernels, on a real driver and a real GPU, where there is one."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vpp_deploy.engines import cuda_library
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.tensorrt import embedded_kernels
from vpp_deploy.engines.tensorrt.embedded_kernels import Launch
from vpp_deploy.machine import nvidia_gpus

pytestmark = pytest.mark.skipif(not nvidia_gpus(), reason="there is no NVIDIA GPU with a driver")

SHAPE = (64, 1024)
TOKENS = [(1, (4, 6), 8), (2, (24, 40), 192), (1, (34, 60), 384), (3, (45, 80), 196), (1, (5, 7), 3)]
"""Batch, grid and channels."""
DTYPES = ["float32", "float16", "bfloat16"]


@pytest.fixture(params=list(cuda_library._ADAPTERS))
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """On each library that is installed, alone."""
    from vpp_deploy.engines.cuda_device import CudaDevice

    if importlib.util.find_spec(request.param.partition(".")[0]) is None:
        pytest.skip(f"{request.param} is not installed")
    monkeypatch.setattr(cuda_library, "_ADAPTERS", {request.param: cuda_library._ADAPTERS[request.param]})
    device = CudaDevice()
    yield device
    gc.collect()


@pytest.fixture(scope="module")
def torch() -> Any:
    library = pytest.importorskip("torch")
    if not library.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    library.backends.cuda.matmul.allow_tf32 = False
    library.manual_seed(0)
    return library


class Remembers:
    """A context that gives the frame, and the frame before."""

    def __init__(self, device: Any, role: str) -> None:
        self._device, self._role = device, role
        self._bound: dict[str, Any] = {}

    def bind(self, name: str, buffer: Any) -> None:
        self._bound[name] = buffer

    def can_be_captured(self, queue: Any) -> bool:
        return True

    def enqueue(self, queue: Any) -> None:
        self._device.copy(self._bound["seen"], self._bound["frame"], queue)
        self._device.copy(self._bound["last_out"], self._bound["frame"], queue)
        if self._role == "step":
            self._device.copy(self._bound["before"], self._bound["last_in"], queue)


def open_stream(device: Any) -> DeviceStream:
    def tensor(name: str) -> Any:
        return SimpleNamespace(name=name, shape=SHAPE, dtype="float32")

    graph = SimpleNamespace(inputs=[tensor("frame")], outputs=[tensor("seen"), tensor("before")])
    manifest: Any = SimpleNamespace(
        roles=("init", "step"),
        graphs={"init": graph, "step": graph},
        state=[SimpleNamespace(name="last", shape=SHAPE, dtype="float32", input="last_in", output="last_out")],
    )
    return DeviceStream(manifest, device, lambda role: Remembers(device, role))


def play(stream: DeviceStream, first: int, frames: int = 12) -> None:
    """Every frame comes back, and the one before it, prefetched or not."""
    images = [np.full(SHAPE, first + number, np.float32) for number in range(frames)]
    for number, image in enumerate(images):
        stays = number % 3 == 1
        outputs = stream.run({"frame": image}, leave=("seen",) if stays else ())
        seen = stream.rows("seen", np.array([60, 2, 7])) if stays else outputs["seen"]
        assert (seen == first + number).all()
        assert number == 0 or (outputs["before"] == first + number - 1).all()
        if number + 1 < frames and number % 2:
            stream.prefetch({"frame": images[number + 1]})


def test_streams_give_their_memory_back_whoever_drops_them(device: Any, torch: Any) -> None:
    def in_use() -> int:
        gc.collect()
        free, total = torch.cuda.mem_get_info()
        return int(total - free)

    with ThreadPoolExecutor(1) as opens, ThreadPoolExecutor(1) as drops:
        used = []
        for number in range(100):
            held = [opens.submit(open_stream, device).result()]
            opens.submit(play, held[0], number * 100).result()
            held[0].prefetch({"frame": np.ones(SHAPE, np.float32)})
            drops.submit(held.clear).result()
            used.append(in_use())
    buffer = int(np.prod(SHAPE)) * 4
    assert max(used[50:]) - max(used[:10]) < buffer, "fifty streams, with several each"  # the driver takes some, too


def test_streams_run_at_the_same_time(device: Any) -> None:
    streams = [open_stream(device) for _ in range(8)]
    with ThreadPoolExecutor(len(streams)) as pool:
        for played in [pool.submit(play, stream, 1000 * number) for number, stream in enumerate(streams)]:
            played.result()


def launched(torch: Any, launch: Launch, inputs: list[Any], output: Any) -> Any:
    """The output of an embedded kernel, as TensorRT launches it: input pointers, int32 arguments, output pointer."""
    from cuda.bindings import driver

    def call(function: Any, *arguments: Any) -> Any:
        status, *values = function(*arguments)
        assert status == driver.CUresult.CUDA_SUCCESS, f"{function.__name__}: {status}"
        return values[0] if values else None

    torch.cuda.synchronize()
    module = call(driver.cuModuleLoadData, embedded_kernels.ptx(launch.entry).encode() + b"\0")
    kernel = call(driver.cuModuleGetFunction, module, launch.entry.encode())
    values = (*(tensor.data_ptr() for tensor in inputs), *launch.arguments, output.data_ptr())
    kinds = (*[ctypes.c_void_p] * len(inputs), *[ctypes.c_int32] * len(launch.arguments), ctypes.c_void_p)
    shape = (*launch.grid, launch.block, 1, 1, launch.shared_bytes)
    call(driver.cuLaunchKernel, kernel, *shape, 0, (values, kinds), 0)
    call(driver.cuCtxSynchronize)
    call(driver.cuModuleUnload, module)
    return output


@pytest.mark.parametrize(("batch", "grid", "channels"), TOKENS)
@pytest.mark.parametrize("by_position", [True, False])
def test_embedded_selection(torch: Any, batch: int, grid: tuple[int, int], channels: int, by_position: bool) -> None:
    n = grid[0] * grid[1]
    k = max(1, n * 2 // 5)
    scores = (torch.rand(batch, n, device="cuda") * 64).round() / 64  # with ties
    active = torch.rand(batch, n, device="cuda") < 0.8
    output = torch.full((batch, k), -1, dtype=torch.int32, device="cuda")
    launched(torch, embedded_kernels.select((batch, n), k, by_position), [scores, active.byte()], output)
    ranked = scores.where(active, -torch.finfo(scores.dtype).max).sort(dim=-1, descending=True, stable=True).indices
    expected = ranked[:, :k].sort(dim=-1).values if by_position else ranked[:, :k]
    assert torch.equal(output, expected.int())


@pytest.mark.parametrize(("batch", "grid", "channels"), TOKENS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_embedded_gather_and_scatter(torch: Any, batch: int, grid: tuple[int, int], channels: int, dtype: str) -> None:
    n = grid[0] * grid[1]
    k = max(1, n // 3)
    tokens = torch.randn(batch, n, channels, device="cuda").to(getattr(torch, dtype))
    chosen = torch.rand(batch, n, device="cuda").argsort(dim=-1)[:, :k].sort(dim=-1).values
    indices, places = chosen.int(), chosen.unsqueeze(-1).expand(-1, -1, channels)
    rows = torch.full_like(tokens[:, :k], -7)
    launched(torch, embedded_kernels.gather(tokens.shape, k, dtype), [tokens, indices], rows)
    assert torch.equal(rows, tokens.gather(1, places))
    new = torch.randn(rows.shape, device="cuda").to(tokens.dtype)
    scattered = torch.full_like(tokens, -7)
    launched(torch, embedded_kernels.scatter(tokens.shape, k, dtype), [tokens, indices, new], scattered)
    assert torch.equal(scattered, tokens.scatter(1, places, new))


@pytest.mark.parametrize(("batch", "grid", "channels"), TOKENS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_embedded_association(torch: Any, batch: int, grid: tuple[int, int], channels: int, dtype: str) -> None:
    """The chosen key's similarity, in float64, is the best but for the rounding of float32."""
    from vpp_deploy.ops.associate_tokens import positional_bias

    n = grid[0] * grid[1]
    k = max(2, n * 2 // 5)
    queries = torch.randn(batch, n, channels, device="cuda").to(getattr(torch, dtype))
    keys = (torch.randn(batch, k, channels, device="cuda") / channels).to(getattr(torch, dtype))
    positions = torch.rand(batch, n, device="cuda").argsort(dim=-1)[:, :k].int()
    source = torch.full((batch, n), -1, dtype=torch.int32, device="cuda")
    for parts in {1, (k + 63) // 64}:
        candidates = torch.full((batch, parts, n, 2), -1, dtype=torch.int32, device="cuda")
        launch = embedded_kernels.associate_parts(queries.shape, k, grid, parts, dtype)
        launched(torch, launch, [queries, keys, positions], candidates)
        launched(torch, embedded_kernels.associate_best(candidates.shape), [candidates], source)
        bias = torch.from_numpy(positional_bias(*grid)).cuda().double()
        for item in range(batch):
            similarity = queries[item].double() @ keys[item].double().T + bias[:, positions[item].long()]
            chosen = similarity.gather(1, source[item].long().unsqueeze(-1))[:, 0]
            assert (similarity.max(dim=-1).values - chosen).max().item() <= 1e-4
