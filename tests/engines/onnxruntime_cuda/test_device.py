"""ONNX Runtime's device: what is bound when, and where its libraries come from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.engines.onnxruntime_cuda.device import OnnxRuntimeContext, OnnxRuntimeDevice
from vpp_deploy.errors import DeviceError


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a device sets for CUDA's libraries ends with the test."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")


class CopiesWhenBound:
    """ONNX Runtime's binding where the input's consumer is on another device than the input.

    `IOBinding::BindInput` (onnxruntime/core/session/IOBinding.cc) copies such an input when it is bound, by
    `CopyOneInputAcrossDevices`, and runs with the copy.
    """

    def __init__(self, binding: Any) -> None:
        self._binding = binding

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self._binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(np.array(value.numpy())))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._binding, name)


@pytest.fixture
def session() -> Session:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2,)) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negates", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return Session(model.SerializeToString(), session_options(1), error=DeviceError, label="a graph that negates")


@pytest.mark.parametrize("copies", [False, True])
def test_an_input_that_is_bound_once_is_never_stale(
    copies: bool, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = OnnxRuntimeDevice("cpu")
    context = OnnxRuntimeContext(session, device)
    if copies:
        io_binding = session.native.io_binding
        monkeypatch.setattr(session.native, "io_binding", lambda: CopiesWhenBound(io_binding()))
    source, target = (device.allocate((2,), "float32") for _ in range(2))
    context.bind("x", source)
    context.bind("y", target)
    found = np.empty(2, np.float32)
    for number in (1, 2, 3):
        device.upload(source, np.full(2, number, np.float32), None)
        context.enqueue(None)
        device.download(found, target, None)
        assert (found == -number).all()


def test_cuda_comes_from_its_wheels_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def preload_dlls() -> None:
        print("Failed to load libcudnn.so.9: no such file")  # noqa: T201 - as the real one does

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls)
    with caplog.at_level("INFO"):
        OnnxRuntimeDevice("cuda")
    assert capfd.readouterr().out == ""
    assert caplog.messages == ["ONNX Runtime: Failed to load libcudnn.so.9: no such file"]
    OnnxRuntimeDevice("cpu")
    assert len(caplog.messages) == 1


def test_the_installed_onnx_runtime_can_be_asked_for_its_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    OnnxRuntimeDevice("cuda")
    assert capfd.readouterr().out == ""


def test_runs_that_onnx_runtime_captures(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A number for each set of memory, all on one thread; when there are enough, runs without a graph."""
    monkeypatch.setattr("vpp_deploy.engines.onnxruntime_cuda.device.MOST_GRAPHS", 3)
    ran: list[tuple[str, int]] = []
    run = session.native.run_with_iobinding

    def watched(binding: Any, options: Any) -> None:
        ran.append((options.get_run_config_entry("gpu_graph_id"), threading.get_ident()))
        run(binding, options)

    monkeypatch.setattr(session.native, "run_with_iobinding", watched)
    device = OnnxRuntimeDevice("cpu", cuda_graphs=True)
    sources = [device.allocate((2,), "float32") for _ in range(2)]
    target, found = device.allocate((2,), "float32"), np.empty(2, np.float32)

    def play() -> None:
        context = OnnxRuntimeContext(session, device)
        context.bind("y", target)
        for number in range(4):
            context.bind("x", sources[number % 2])
            device.upload(sources[number % 2], np.full(2, number, np.float32), None)
            context.enqueue(None)
            device.download(found, target, None)
            assert (found == -number).all()

    play()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(play).result()
    assert [number for number, _ in ran] == ["1", "2", "1", "2", "3", "-1", "3", "-1"]
    assert len({thread for _, thread in ran} | {threading.get_ident()}) == 2
    assert caplog.messages == ["3 CUDA graphs are in use, and no more are made: streams run without"]


@pytest.mark.parametrize(("device", "repeats"), [(OnnxRuntimeDevice("cpu"), True), (None, False)])
def test_nothing_is_captured_unasked(
    device: OnnxRuntimeDevice | None, repeats: bool, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = device or OnnxRuntimeDevice("cpu", cuda_graphs=True)
    ran: list[Any] = []
    monkeypatch.setattr(session.native, "run_with_iobinding", lambda binding, options: ran.append(options))
    context = OnnxRuntimeContext(session, device, repeats=repeats)
    for name in "xy":
        context.bind(name, device.allocate((2,), "float32"))
    context.enqueue(None)
    with pytest.raises(RuntimeError, match="gpu_graph_id"):
        ran[0].get_run_config_entry("gpu_graph_id")
