"""CUDA memory, streams and graphs through the real libraries, on a driver that counts what lives and breaks no rule."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.engines.cuda.compiled import compile_driver, missing_functions
from vpp_deploy.engines import cuda_library
from vpp_deploy.engines.cuda_library import driver_cuda, open_library
from vpp_deploy.errors import DependencyError, DeviceError

NOTHING = {"live": {}, "retained": 0, "broken": 0, "depth": 0}
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=["cuda.bindings", "pycuda"])
def library(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param.partition(".")[0]) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def run(library: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a function of `on_driver` on the driver."""
    others = ""
    if library == "pycuda":
        module = importlib.util.find_spec("pycuda").submodule_search_locations[0]
        others = missing_functions(next(Path(module).glob("_driver*.so")))
    target = compile_driver(tmp_path_factory.mktemp("driver"), others)
    paths = os.pathsep.join(filter(None, [str(target.parent), os.environ.get("LD_LIBRARY_PATH")]))
    environment = os.environ | {"LD_LIBRARY_PATH": paths, "LD_PRELOAD": str(target)}
    hidden = ["cuda.bindings"] if library == "pycuda" else []

    def run_(scenario: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.engines.cuda.on_driver", scenario, *hidden]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        assert "Traceback" not in done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        slower = done.stderr.count("pycuda has no CUDA graphs")
        assert slower == (found["retained"] if library == "pycuda" else 0)  # said once by who opened a device
        return found

    return run_


def left(library: str) -> dict[str, Any]:
    """What there is when the device is gone. pycuda's context stays for the process, once."""
    return NOTHING | ({"retained": 1} if library == "pycuda" else {})


def part(of: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {key: of[key] for key in like}


def test_streams_leave_nothing_behind_whoever_drops_them(run: Run, library: str) -> None:
    found = run("streams_dropped_elsewhere")
    assert found["right"]
    assert found["depths"] == [0, 0]
    assert found["made"]["stream"] == 400
    assert found["made"]["event"] == 200 * 2
    assert found["made"]["graph"] == found["made"]["executable"] == (400 if found["captures"] else 0)
    assert part(found["while_open"], NOTHING) == NOTHING | {"retained": 1}
    assert part(found, NOTHING) == left(library)
    assert found["captures"] == (library == "cuda.bindings")


def test_a_stream_dropped_in_the_middle_of_a_capture(run: Run, library: str) -> None:
    found = run("a_stream_dropped_while_another_captures")
    assert found["right"]
    assert found["times"] == 1
    assert found["messages"] == []
    assert part(found, NOTHING) == left(library)


def test_a_librarys_garbage_does_not_break_a_capture(run: Run, library: str) -> None:
    if library == "pycuda":
        pytest.skip("it has no graphs")
    found = run("garbage_of_a_library_while_a_stream_captures")
    assert (found["right"], found["executables"], found["enabled"]) == (True, 2, True)
    assert part(found, NOTHING) == NOTHING


def test_many_threads_with_anybodys_streams(run: Run, library: str) -> None:
    found = run("many_threads")
    assert found["right"]
    assert part(found, NOTHING) == left(library)


def test_a_capture_that_fails_leaves_the_stream_usable(run: Run, library: str) -> None:
    if library == "pycuda":
        pytest.skip("it has no graphs")
    found = run("a_capture_that_fails")
    assert found["told"][0] == "on purpose"
    assert "cuMemAlloc failed" in found["told"][1] or "cuStreamEndCapture failed" in found["told"][1]
    assert part(found, NOTHING) == NOTHING | {"broken": 1}  # the allocation, on purpose


def test_memory_that_runs_out_says_how_much_was_asked_for(run: Run, library: str) -> None:
    found = run("memory_runs_out")
    assert len(found["told"]) == 2
    for message in found["told"]:
        assert re.match(r"Fast: .*out of memory.*, of 140737488355328 bytes; close other programs or streams", message)
    assert part(found, NOTHING) == left(library)


def test_views_hold_pinned_memory(run: Run, library: str) -> None:
    found = run("views_hold_pinned_memory")
    assert (found["held"], found["right"]) == (1, True)
    assert part(found, NOTHING) == left(library)


def test_a_gpu_that_is_not_there(run: Run) -> None:
    found = run("no_such_gpu")
    assert found["told"].startswith("GPU 7 cannot be used (")
    assert found["retained"] == 0


def test_the_driver_says_which_cuda_it_knows(run: Run) -> None:
    assert run("what_the_driver_knows") == NOTHING | {"cuda": [12, 8]}


def test_without_a_driver_no_cuda_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert driver_cuda() is None


def test_no_library_is_a_missing_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.bindings", "pycuda"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DependencyError, match=r"neither cuda-bindings nor pycuda .*: pip install cuda-bindings$"):
        open_library(0)


def test_a_library_that_does_not_load_asks_for_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "does_not_load.py").write_text("raise ImportError('libcuda.so.1:\\ncannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cuda_library, "_ADAPTERS", {"does_not_load": "does_not_load:Library"})
    with pytest.raises(
        DeviceError, match=r"CUDA does not load \(libcuda.so.1: cannot open .*is there an NVIDIA driver"
    ):
        open_library(0)
