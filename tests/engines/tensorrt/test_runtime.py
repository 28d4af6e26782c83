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
from vpp_deploy.errors import DependencyError, DeviceError, IncompatibleEngineError

FILES = {name: FileRecord(bytes=1, sha256="0" * 64) for name in ("init.onnx", "step.onnx", "weights.safetensors")}


class FakeContext:
    def __init__(self, accepts: bool) -> None:
        self.accepts, self.calls = accepts, []

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append((name, address))
        return self.accepts

    def execute_async_v3(self, handle: int) -> bool:
        self.calls.append(("execute", handle))
        return self.accepts


class FakeEngine:
    def __init__(self, shapes: dict[str, tuple[int, ...]], context: FakeContext | None) -> None:
        self.shapes, self.context, self.floats = shapes, context, "FLOAT"
        self.num_io_tensors = len(shapes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.shapes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        is_whole = name.startswith(("kept", "positions"))
        return SimpleNamespace(name="UINT8" if name == "frame" else "INT32" if is_whole else self.floats)

    def create_execution_context(self) -> FakeContext | None:
        return self.context


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
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(Logger=logger, Runtime=runtime))


def runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: SegmentationManifest, **engines: Any
) -> TensorRtRuntime:
    install(monkeypatch, {role.encode(): engine for role, engine in engines.items()})
    files = {}
    for role in found.roles:
        files[role] = tmp_path / f"{role}.engine"
        files[role].write_text(role)
    return TensorRtRuntime("tensorrt", files, found)


def test_every_stream_has_contexts_of_its_own(tmp_path, monkeypatch, found):
    context = FakeContext(accepts=True)
    engines = {role: FakeEngine(shapes(found, role), context) for role in found.roles}
    made = runtime(tmp_path, monkeypatch, found, **engines).create_context("step")
    made.bind("frame", SimpleNamespace(address=4096))
    made.enqueue(SimpleNamespace(handle=7))
    assert context.calls == [("frame", 4096), ("execute", 7)]


def test_what_tensorrt_refuses_is_an_error(tmp_path, monkeypatch, found):
    engines = {role: FakeEngine(shapes(found, role), FakeContext(accepts=False)) for role in found.roles}
    made = runtime(tmp_path, monkeypatch, found, **engines).create_context("init")
    with pytest.raises(DeviceError, match="frame of the init graph"):
        made.bind("frame", SimpleNamespace(address=4096))
    with pytest.raises(DeviceError, match="could not run the init graph"):
        made.enqueue(SimpleNamespace(handle=7))


def test_no_memory_for_a_context(tmp_path, monkeypatch, found):
    engines = {role: FakeEngine(shapes(found, role), None) for role in found.roles}
    with pytest.raises(DeviceError, match="memory ran out"):
        runtime(tmp_path, monkeypatch, found, **engines).create_context("step")


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
