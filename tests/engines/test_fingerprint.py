"""An engine is built again when something that decides what it is has changed, and only then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import vpp_deploy
from tests.engines.records import store
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE
from vpp_deploy.engines import TensorRtBuildOptions
from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.engine_record import EngineRecord, check_gpu, read_record, source_hashes
from vpp_deploy.engines.fingerprint import Part, look_up, option_texts
from vpp_deploy.engines.tensorrt.engine import HOST_CODE_VARIABLE, TensorRtBuild, check_host_code
from vpp_deploy.errors import ExitCode, IncompatibleEngineError
from vpp_deploy.machine import Gpu

H100 = Gpu("NVIDIA H100", "580.10", "81559 MiB", "9.0")
L4 = Gpu("NVIDIA L4", "580.10", "23034 MiB", "8.9")


@pytest.fixture
def bundle(few_nodes: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(few_nodes.path, tmp_path / "copy.bundle"))


def change(bundle: Bundle, **changes: object) -> None:
    path = bundle.engine_folder("onnxruntime") / ENGINE_RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def built_at(bundle: Bundle) -> int:
    return (bundle.engine_folder("onnxruntime") / ENGINE_RECORD_FILE).stat().st_mtime_ns


def missed(bundle: Bundle, **options: object) -> dict[str, str | None]:
    found: list[Sequence[Part]] = []
    vpp_deploy.build_engine(bundle, looked_up=found.append, **options)
    return {part.name: part.why for part in found[0] if not part.hit}


def test_the_same_engine_is_not_built_twice(bundle: Bundle) -> None:
    before = built_at(bundle)
    assert missed(bundle) == {}
    assert built_at(bundle) == before
    assert missed(bundle, force=True) == {}
    assert built_at(bundle) > before


@pytest.mark.parametrize(
    ("changes", "part", "why"),
    [
        ({"backend_version": "1.2.3"}, "onnxruntime", "1.2.3, now "),
        ({"vpp_deploy": "0.0.1"}, "vpp-deploy", "0.0.1, now "),
        ({"machine": "riscv64"}, "processor", "riscv64, now "),
        ({"options": {"tf32": "true"}}, "tf32", "true, now not set"),
        ({"source": {}}, "init.onnx", "none, now "),
        ({"compute_capabilities": ["8.9"]}, "compute capabilities", "8.9, now default"),
    ],
)
def test_what_changed_is_named_and_built(bundle: Bundle, changes: dict[str, object], part: str, why: str) -> None:
    change(bundle, **changes)
    found = missed(bundle)
    assert found[part].startswith(why)
    assert missed(bundle) == {}
    vpp_deploy.load_engine(bundle)


def test_damage_is_repaired(bundle: Bundle) -> None:
    folder = bundle.engine_folder("onnxruntime")
    with (folder / "step.onnx").open("ab") as file:
        file.write(b"x")
    assert missed(bundle) == {"engine files": "missing or altered: step.onnx"}
    (folder / ENGINE_RECORD_FILE).write_text("{")
    assert missed(bundle)["engine"].startswith("its record cannot be read")
    shutil.rmtree(folder)
    assert missed(bundle) == {"engine": "there is none yet"}
    assert missed(bundle) == {}


def test_options_that_are_not_set_leave_no_trace() -> None:
    assert option_texts(plugins="none", workspace_bytes=None, tf32=False) == {"plugins": "none"}
    assert option_texts(workspace_bytes=1024, hardware_compatible=True) == {
        "workspace bytes": "1024",
        "hardware compatible": "true",
    }


def wanted(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, gpu: Gpu, **options: object) -> EngineRecord:
    monkeypatch.setattr("vpp_deploy.engines.tensorrt.engine.nvidia_gpus", lambda: (gpu,))
    monkeypatch.setattr(Backend, "required_version", lambda backend: "11.4.0.106")
    return TensorRtBuild(bundle, TensorRtBuildOptions(**options), backend="tensorrt").wanted


def test_a_tensorrt_engine_is_for_one_gpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    here = wanted(bundle, monkeypatch, H100)
    assert here.compute_capabilities == ("9.0",)
    store(bundle.engine_folder("tensorrt"), wanted(bundle, monkeypatch, L4))
    differences = {part.name: part.why for part in look_up(bundle, here) if not part.hit}
    assert differences == {"compute capabilities": "8.9, now 9.0", "gpu": "NVIDIA L4, now NVIDIA H100"}

    check_gpu(here, (), "x")
    check_gpu(here, (L4, H100), "x")
    with pytest.raises(IncompatibleEngineError) as caught:
        check_gpu(here, (L4,), "vpp-deploy build-engine b")
    assert caught.value.exit_code == ExitCode.INCOMPATIBLE
    assert str(caught.value) == (
        "the tensorrt engine is for GPUs of compute capability 9.0, this machine has NVIDIA L4 (8.9); build it with: "
        "vpp-deploy build-engine b"
    )
    anywhere = wanted(bundle, monkeypatch, H100, hardware_compatible=True)
    assert (anywhere.compute_capabilities, "gpu" in anywhere.options) == ((), False)
    check_gpu(anywhere, (L4,), "x")


@pytest.mark.parametrize(
    ("version", "fits"), [("11.4.0.106", True), ("11.5.0.1", True), ("11.3.9.9", False), ("12.0.0.1", False)]
)
def test_later_versions_run_what_is_version_compatible(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    record = store(bundle.engine_folder("tensorrt"), wanted(bundle, monkeypatch, H100, version_compatible=True))
    assert record.source == source_hashes(bundle)
    if fits:
        assert read_record(bundle, "tensorrt", version) == record
        monkeypatch.delenv(HOST_CODE_VARIABLE, raising=False)
        with pytest.raises(IncompatibleEngineError, match=f"export {HOST_CODE_VARIABLE}=1"):
            check_host_code(record)
        monkeypatch.setenv(HOST_CODE_VARIABLE, "1")
        check_host_code(record)
    else:
        with pytest.raises(IncompatibleEngineError, match=f"built by version 11.4.0.106, this machine has {version}"):
            read_record(bundle, "tensorrt", version)
