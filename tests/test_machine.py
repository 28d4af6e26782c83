from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpp_deploy.machine import available_processors, processor_quota


def kernel(root: Path, membership: str, **files: str) -> Path:
    """The files of a kernel: what groups this process is in, and what those say."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(membership)
    for name, content in files.items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n", "job/step/cpu.max": "400000 100000\n"}, 4),
        ({"job/cpu.max": "50000 100000\n", "job/step/cpu.max": "400000 100000\n"}, 0.5),
        ({"cpu.max": "nonsense\n"}, None),
        ({"cpu.max": "0 0\n"}, None),
    ],
)
def test_the_quota_of_version_2(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert processor_quota(kernel(tmp_path, "0::/job/step\n", **files)) == expected


@pytest.mark.parametrize(
    ("mount", "folder"), [("cpu,cpuacct", "docker/1"), ("cpu", "docker/1"), ("cpu", ""), ("cpu", "docker")]
)
def test_the_quota_of_version_1(tmp_path: Path, mount: str, folder: str) -> None:
    files = {f"{mount}/{folder}/cpu.cfs_quota_us": "250000\n", f"{mount}/{folder}/cpu.cfs_period_us": "100000\n"}
    membership = "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/\n"
    assert processor_quota(kernel(tmp_path, membership, **files)) == 2.5


def test_no_quota_of_version_1(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert processor_quota(kernel(tmp_path, "1:cpu:/\n", **files)) is None
    assert processor_quota(tmp_path / "not Linux") is None


def test_a_group_outside_the_container_is_not_looked_for(tmp_path: Path) -> None:
    root = kernel(tmp_path, "0::/../other\n", **{"cpu.max": "100000 100000\n"})
    (tmp_path / "sys" / "fs" / "other").mkdir()
    (tmp_path / "sys" / "fs" / "other" / "cpu.max").write_text("10 100000\n")
    assert processor_quota(root) == 1


@pytest.mark.parametrize(("quota", "most"), [(None, 10**6), (0.2, 1), (1.0, 1), (1.5, 2)])
def test_a_quota_bounds_the_processors(quota: float | None, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpp_deploy.machine.processor_quota", lambda: quota)
    assert 1 <= available_processors() <= most


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system ends children on Linux only")
def test_a_child_ends_with_its_parent_even_if_that_is_killed() -> None:
    child = (
        "import os, sys, time; from vpp_deploy.machine import end_with_parent; end_with_parent(int(sys.argv[1]));"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = f"import os, subprocess, sys;subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout.read() == b""  # at its end: nobody has it open any more
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists() or b"\nState:\tZ" in Path(f"/proc/{worker}/status").read_bytes():
            break
        time.sleep(0.02)
    else:
        pytest.fail("the child lives on")


def test_a_child_whose_parent_has_ended_already_ends(tmp_path: Path) -> None:
    code = "import sys; from vpp_deploy.machine import end_with_parent; end_with_parent(1); print('on')"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env={**os.environ})
    assert (process.returncode, process.stdout) == (1, b"")
