"""The one command for a machine with a GPU, without one: every step ends, and none vanishes without a word."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import on_gpu, on_gpu_steps
from benchmarks.on_gpu_steps import Step
from vpp_deploy.engines import BACKENDS, Surroundings
from vpp_deploy.machine import Gpu

H200 = Gpu("NVIDIA H200", "580.10", "143771 MiB", "9.0")
L4 = Gpu("NVIDIA L4", "580.10", "23034 MiB", "8.9")
RTX_TARGETS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
ALL = {
    "tensorrt-cu13": "11.4.0.106",
    "tensorrt-rtx": "1.7.1.116",
    "polygraphy": "0.53.6",
    "cuda-bindings": "13.5.0",
    "numpy": "2.4.6",
}


def python(program: str, *arguments: str | Path) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *map(str, arguments))


def test_a_step_tells_how_it_ended(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    good = on_gpu_steps.run(
        "good", *python("import sys; open(sys.argv[1], 'w').write('[1]')", figures), limit=60, figures=figures
    )
    bad = on_gpu_steps.run("bad", *python("print('why'); raise SystemExit(3)"), limit=60, figures=figures)
    gone = on_gpu_steps.run("gone", str(tmp_path / "nothing"), limit=60)
    assert [(step.result, step.status, step.figures) for step in (good, bad, gone)] == [
        ("passed", 0, [1]),
        ("failed", 3, None),  # what an earlier step measured is not taken for its own
        ("not run", None, None),
    ]
    assert bad.last_words == ["why"]
    assert gone.reason == f"{tmp_path / 'nothing'} cannot be started: No such file or directory"


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="the machines with such GPUs run Linux")
def test_a_step_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    parent = (
        "import subprocess, sys; print('begun', flush=True); "
        f"subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])"
    )
    step = on_gpu_steps.run("slow", *python(parent, tmp_path / "pid"), limit=3)
    assert (step.result, step.status, step.last_words) == ("timed out", None, ["begun"])
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):  # the system needs a moment to clean up
        if not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} goes on")


def variants(gpu: Gpu, versions: dict[str, str]) -> dict[str, on_gpu.Variant]:
    found = list(on_gpu.variants(gpu.compute_capability, Surroundings(versions.get, (gpu,)), RTX_TARGETS))
    by_name = {variant.name: variant for variant in found}
    assert len(by_name) == len(found)
    return by_name


def test_every_backend_and_form_is_tried_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORRT_INCLUDE_DIR", raising=False)
    monkeypatch.delenv("VPP_DEPLOY_PLUGIN_PATH", raising=False)
    found = variants(L4, ALL)
    assert {variant.backend for variant in found.values()} == {
        name for name, backend in BACKENDS.items() if backend.runs_on == "gpu"
    }
    assert found["tensorrt --plugins embedded"] == on_gpu.Variant("tensorrt", ("--plugins", "embedded"))
    for backend in ("tensorrt", "tensorrt-rtx"):
        assert "TENSORRT_INCLUDE_DIR is not set" in found[f"{backend} --plugins library"].cannot_build
    assert "no embedded plugins" in found["tensorrt-rtx --plugins embedded"].cannot_build
    none = "tensorrt-rtx --plugins none"
    assert found[none] == on_gpu.Variant("tensorrt-rtx", ("--plugins", "none"))
    assert found[f"{none} --compute-capability 8.9"].cannot_run is None
    assert "8.0 alone, this GPU has 8.9" in found[f"{none} --compute-capability 8.0"].cannot_run


def test_a_gpu_that_tensorrt_rtx_has_no_target_for() -> None:
    found = variants(H200, ALL)
    reason = "TensorRT-RTX does not build for compute capability 9.0"
    assert found["tensorrt-rtx --plugins none --compute-capability 9.0"].cannot_build == reason
    for target in ("", " --compute-capability 8.0"):
        variant = found[f"tensorrt-rtx --plugins none{target}"]
        assert variant.cannot_build is None
        assert variant.cannot_run == f"{reason}, which this GPU has"
    assert found["tensorrt --plugins none"].cannot_run is None


def test_what_is_not_installed_is_the_reason() -> None:
    found = variants(L4, {})
    assert "not installed" in found["tensorrt --plugins none"].cannot_build
    assert "not installed" in found["tensorrt-rtx --plugins none"].cannot_build
    assert "CUDA provider" in found["onnxruntime-cuda"].cannot_run


def test_one_record_has_all_for_the_status_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[str] = []

    def run(name: str, *command: Any, limit: float, subject: str = "", part: str = "", figures: Any = None) -> Step:
        commands.append(name)
        words = ["SM75 SM80 SM86 SM89 SM120"] if name.startswith("targets") else []
        return Step(name, subject, part, " ".join(map(str, command)), "passed", status=0, last_words=words)

    monkeypatch.setattr(on_gpu, "run", run)
    monkeypatch.setattr(on_gpu, "WORK", tmp_path / "work")
    monkeypatch.setattr(on_gpu, "nvidia_gpus", lambda: (L4,))
    monkeypatch.delenv("TENSORRT_INCLUDE_DIR", raising=False)
    monkeypatch.setenv("VPP_DEPLOY_PLUGIN_PATH", "")
    monkeypatch.setattr(sys, "argv", ["on_gpu", "-o", str(tmp_path / "record.json")])
    on_gpu.main()
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["gpu"]["name"] == "NVIDIA L4"
    assert len(record["steps"]) >= len(commands)
    rows = record["summary"]
    names = {variant.name for variant in on_gpu.variants("8.9", Surroundings({}.get, (L4,)), RTX_TARGETS)}
    assert names < rows.keys()
    assert {said.partition(":")[0] for row in rows.values() for said in row.values()} <= {"passed", "not run"}
    assert {step["reason"] is None for step in record["steps"] if step["result"] == "not run"} <= {False}
    assert str(tmp_path / "record.json") in capsys.readouterr().out
