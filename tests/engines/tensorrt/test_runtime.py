"""TensorRT at run time, as far as that goes without a GPU: a fake of its Python API."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bundle.factory import manifest
from vpp_deploy.bundle import FileRecord, SegmentationManifest
from vpp_deploy.engines.tensorrt.runtime import TensorRtRuntime, check_tensors
from vpp_deploy.engines.tensorrt.runtime_cache import RuntimeCache, cache_file
from vpp_deploy.errors import DependencyError, DeviceError, IncompatibleEngineError

FILES = {name: FileRecord(bytes=1, sha256="0" * 64) for name in ("init.onnx", "step.onnx", "weights.safetensors")}


class FakeContext:
    def __init__(self, accepts: bool) -> None:
        self.accepts, self.calls = accepts, []

    def set_device_memory(self, address: int, size: int) -> None:
        self.calls.append(("scratch", address, size))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append((name, address))
        return self.accepts

    def execute_async_v3(self, handle: int) -> bool:
        self.calls.append(("execute", handle))
        return self.accepts


class FakeEngine:
    def __init__(
        self, shapes: dict[str, tuple[int, ...]], context: FakeContext | None, device_memory_size_v2: int = 0
    ) -> None:
        self.shapes, self.context, self.floats = shapes, context, "FLOAT"
        self.num_io_tensors, self.device_memory_size_v2 = len(shapes), device_memory_size_v2
        self.configuration: Any = None

    def get_tensor_name(self, index: int) -> str:
        return list(self.shapes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        is_whole = name.startswith(("kept", "positions"))
        return SimpleNamespace(name="UINT8" if name == "frame" else "INT32" if is_whole else self.floats)

    def create_runtime_config(self) -> FakeConfig:
        return FakeConfig()

    def create_execution_context(self, how: Any) -> FakeContext | None:
        self.configuration = how
        return self.context


class FakeConfig:
    """`tensorrt_rtx.IRuntimeConfig`: a context compiles kernels into its cache."""

    def __init__(self) -> None:
        self.strategy: str | None = None
        self.cache: FakeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> FakeCache:
        return FakeCache()

    def set_runtime_cache(self, cache: FakeCache) -> bool:
        self.cache = cache
        return True


class FakeCache:
    """`tensorrt_rtx.IRuntimeCache`: takes what was made for this machine."""

    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, blob: bytes) -> bool:
        fits = blob.startswith(b"this machine")
        self.content = blob if fits else self.content
        return fits

    def serialize(self) -> bytes:
        self.content = self.content or b"this machine: kernels"
        return self.content


def shapes(of: SegmentationManifest, role: str) -> dict[str, tuple[int, ...]]:
    graph = of.graphs[role]
    found = {tensor.name: tensor.shape for tensor in (*graph.inputs, *graph.outputs)}
    found |= {state.output: state.shape for state in of.state}
    return found | ({state.input: state.shape for state in of.state} if role == "step" else {})


@pytest.fixture
def found() -> SegmentationManifest:
    return manifest(FILES)


def install(monkeypatch: pytest.MonkeyPatch, engines: dict[bytes, Any]) -> None:
    logger = type("Logger", (), {"WARNING": 2, "__init__": lambda self, level: None})
    runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=engines.get)  # noqa: E731
    strategies = SimpleNamespace(USER_MANAGED="ours")
    library = SimpleNamespace(Logger=logger, Runtime=runtime, ExecutionContextAllocationStrategy=strategies)
    monkeypatch.setitem(sys.modules, "tensorrt", library)


def runtime(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: SegmentationManifest,
    cache: RuntimeCache | None = None,
    **engines: Any,
) -> TensorRtRuntime:
    install(monkeypatch, {role.encode(): engine for role, engine in engines.items()})
    files = {}
    for role in found.roles:
        files[role] = tmp_path / f"{role}.engine"
        files[role].write_text(role)
    return TensorRtRuntime("tensorrt", files, found, cache=cache)


SCRATCH = SimpleNamespace(address=512, nbytes=300)


def test_every_stream_has_contexts_of_its_own(tmp_path, monkeypatch, found):
    context = FakeContext(accepts=True)
    engines = {role: FakeEngine(shapes(found, role), context) for role in found.roles}
    made = runtime(tmp_path, monkeypatch, found, **engines).create_context("step", SCRATCH)
    made.bind("frame", SimpleNamespace(address=4096))
    made.enqueue(SimpleNamespace(handle=7))
    assert context.calls == [("scratch", 512, 300), ("frame", 4096), ("execute", 7)]


def test_both_graphs_use_one_block_that_is_large_enough_for_either(tmp_path, monkeypatch, found):
    sizes = dict(zip(found.roles, (100, 300), strict=True))
    engines = {
        role: FakeEngine(shapes(found, role), FakeContext(accepts=True), device_memory_size_v2=size)
        for role, size in sizes.items()
    }
    made = runtime(tmp_path, monkeypatch, found, **engines)
    assert made.scratch_bytes == 300
    for role, engine in engines.items():
        assert made.create_context(role, SCRATCH)._scratch is SCRATCH  # or its memory would be given back
        assert engine.configuration == "ours"
        assert engine.context.calls == [("scratch", 512, 300)]


def test_only_what_can_be_captured_is(tmp_path, monkeypatch, found):
    """TensorRT-RTX answers that; TensorRT has no such question."""
    context = FakeContext(accepts=True)
    engines = {role: FakeEngine(shapes(found, role), context) for role in found.roles}
    made = runtime(tmp_path, monkeypatch, found, **engines).create_context("step", SCRATCH)
    assert made.can_be_captured(SimpleNamespace(handle=7))
    context.is_stream_capturable = lambda handle: handle == 8
    assert not made.can_be_captured(SimpleNamespace(handle=7))
    assert made.can_be_captured(SimpleNamespace(handle=8))


def test_compiled_kernels_are_kept(tmp_path, monkeypatch, found, caplog):
    """For the next process; what another machine left is replaced, and a folder that cannot be is only said."""
    caplog.set_level("INFO")
    engines = {role: FakeEngine(shapes(found, role), FakeContext(accepts=True)) for role in found.roles}

    def contexts(path: Path) -> list[FakeConfig]:
        made = runtime(tmp_path, monkeypatch, found, cache=RuntimeCache(path), **engines)
        for role in found.roles:
            made.create_context(role, SCRATCH)
        return [engine.configuration for engine in engines.values()]

    path = tmp_path / "new" / "kernels.cache"
    first, second = contexts(path)
    assert first.cache is second.cache
    assert first.strategy == second.strategy == "ours"
    assert path.read_bytes() == b"this machine: kernels"
    assert not caplog.messages

    path.write_bytes(b"this machine: more kernels")
    assert contexts(path)[0].cache.content == path.read_bytes() == b"this machine: more kernels"
    path.write_bytes(b"another machine")
    contexts(path)
    assert path.read_bytes() == b"this machine: kernels"
    assert "not for this GPU" in caplog.messages[-1]
    contexts(path / "below")
    assert "are not kept" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"VPP_DEPLOY_CACHE": "/here"}, "/here/tensorrt-rtx"),
        ({"XDG_CACHE_HOME": "/there"}, "/there/vpp-deploy/tensorrt-rtx"),
        ({"HOME": "/home/ann"}, "/home/ann/.cache/vpp-deploy/tensorrt-rtx"),
        ({"VPP_DEPLOY_CACHE": "", "HOME": "/home/ann"}, None),
    ],
)
def test_where_compiled_kernels_are_kept(environment, folder, monkeypatch):
    for name in ("VPP_DEPLOY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = cache_file(["b" * 64, "a" * 64])
    assert str(path.parent) == folder if folder else path is None
    if path:
        assert path == cache_file(["a" * 64, "b" * 64])
        assert path != cache_file(["a" * 64])


def test_tensorrt_rtx_has_what_is_used():
    """The real package, whose engines need a GPU to be loaded."""
    trt = pytest.importorskip("tensorrt_rtx")
    for owner, names in {
        trt.ICudaEngine: ("create_runtime_config", "create_execution_context", "device_memory_size_v2"),
        trt.IExecutionContext: ("set_device_memory", "is_stream_capturable", "execute_async_v3", "set_tensor_address"),
        trt.IRuntimeConfig: ("create_runtime_cache", "set_runtime_cache", "set_execution_context_allocation_strategy"),
        trt.ExecutionContextAllocationStrategy: ("USER_MANAGED",),
        trt.BuilderFlag: ("REQUIRE_USER_ALLOCATION",),
    }.items():
        assert all(hasattr(owner, name) for name in names)


def test_what_tensorrt_refuses_is_an_error(tmp_path, monkeypatch, found):
    engines = {role: FakeEngine(shapes(found, role), FakeContext(accepts=False)) for role in found.roles}
    made = runtime(tmp_path, monkeypatch, found, **engines).create_context("init", SCRATCH)
    with pytest.raises(DeviceError, match="frame of the init graph"):
        made.bind("frame", SimpleNamespace(address=4096))
    with pytest.raises(DeviceError, match="could not run the init graph"):
        made.enqueue(SimpleNamespace(handle=7))


def test_no_memory_for_a_context(tmp_path, monkeypatch, found):
    engines = {role: FakeEngine(shapes(found, role), None) for role in found.roles}
    with pytest.raises(DeviceError, match="memory ran out"):
        runtime(tmp_path, monkeypatch, found, **engines).create_context("step", SCRATCH)


def test_an_engine_that_does_not_load_here(tmp_path, monkeypatch, found):
    with pytest.raises(IncompatibleEngineError, match=r"init\.engine cannot be deserialised here"):
        runtime(tmp_path, monkeypatch, found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": (1, 2, 3)}, r"tensor 'frame' is UINT8 \[1, 2, 3\], the manifest says UINT8 \[32, 48, 3\]"),
        ({"extra": (1,)}, r"tensor 'extra' is FLOAT \[1\], the manifest says not there"),
    ],
)
def test_an_engine_with_other_tensors(found, change, words):
    with pytest.raises(IncompatibleEngineError, match=words):
        check_tensors(FakeEngine(shapes(found, "init") | change, None), found, "init", Path("init.engine"))


def test_an_engine_with_other_types(found):
    engine = FakeEngine(shapes(found, "init"), None)
    engine.floats = "HALF"
    with pytest.raises(IncompatibleEngineError, match=r"'logits' is HALF \[6, 5\], the manifest says FLOAT \[6, 5\]"):
        check_tensors(engine, found, "init", Path("init.engine"))


def test_an_engine_without_a_state(found):
    step = shapes(found, "step")
    del step["positions_in"]
    with pytest.raises(IncompatibleEngineError, match="tensor 'positions_in' is not there"):
        check_tensors(FakeEngine(step, None), found, "step", Path("step.engine"))


def test_tensorrt_is_missing(monkeypatch, found):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match=r"pip install vpp-deploy\[tensorrt\]"):
        TensorRtRuntime("tensorrt", {}, found)
