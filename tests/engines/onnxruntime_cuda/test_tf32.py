"""float32 means float32: ONNX Runtime's CUDA provider computes in TF32 unless it is told not to."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

import vpp_deploy
from tests.bundle.factory import make_bundle
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.onnxruntime.sessions import CPU, Session, session_options
from vpp_deploy.engines.onnxruntime_cuda import engine
from vpp_deploy.engines.onnxruntime_cuda.needs import PROVIDER
from vpp_deploy.errors import DeviceError
from vpp_deploy.options import NoOptions

OVERRIDE = "NVIDIA_TF32_OVERRIDE"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str | None]]:
    """What sessions were asked for, and what NVIDIA's libraries would have found at that time."""
    found: list[tuple[Any, str | None]] = []

    def load_graph(files: Any, manifest: Any, role: str, options: Any, provider: Any) -> Any:
        found.append((provider, os.environ.get(OVERRIDE)))
        return SimpleNamespace(native=SimpleNamespace(get_providers=lambda: [PROVIDER]))

    monkeypatch.setattr(engine, "load_graph", load_graph)
    monkeypatch.setattr(engine, "DeviceStream", lambda *_: None)  # which would allocate on the GPU
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [PROVIDER])
    monkeypatch.setenv(OVERRIDE, "")
    monkeypatch.delenv(OVERRIDE)
    return found


@pytest.mark.parametrize("provider", [CPU, (PROVIDER, {"use_tf32": "0"})])
def test_what_is_slow_on_the_processor_is_not_disabled_on_a_gpu(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **named: found.update(named))
    Session(b"", session_options(1), provider, error=DeviceError, label="a graph")
    assert found["providers"] == [provider]
    assert ("SkipLayerNormFusion" in found["disabled_optimizers"]) == (provider == CPU)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = make_bundle(tmp_path_factory.mktemp("tf32") / "tiny.bundle")
    BACKENDS["onnxruntime-cuda"].prepare(bundle, NoOptions()).run(lambda step, share: None)
    return bundle


@pytest.mark.parametrize(
    ("named", "set_before", "option", "override"),
    [
        ({}, None, "0", "0"),
        ({"tf32": True}, None, "1", None),
        ({}, "1", "0", "1"),  # who sets NVIDIA's variable is heard
    ],
)
def test_tf32_is_only_used_where_it_is_asked_for(
    named: dict[str, bool],
    set_before: str | None,
    option: str,
    override: str | None,
    built: Bundle,
    loaded: list[tuple[Any, str | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if set_before is not None:
        monkeypatch.setenv(OVERRIDE, set_before)
    vpp_deploy.load_engine(built, "onnxruntime-cuda", **named).open_stream()
    assert loaded == [((PROVIDER, {"use_tf32": option, "enable_cuda_graph": "0"}), override)] * 2


def test_only_the_graph_that_repeats_is_captured(built: Bundle, loaded: list[tuple[Any, str | None]]) -> None:
    vpp_deploy.load_engine(built, "onnxruntime-cuda", cuda_graphs=True).open_stream()
    assert [provider[1]["enable_cuda_graph"] for provider, _ in loaded] == ["0", "1"]
