"""Which GPU is the first: `nvidia-smi` says what there is, CUDA what a process sees, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engines.cuda.compiled import compile_driver
from vpp_deploy.machine import Gpu, nvidia_gpus

SLOW = Gpu("NVIDIA T4", "580.10", "15360 MiB", "7.5")
FAST = Gpu("NVIDIA H100", "580.10", "81559 MiB", "9.0")
# The driver of driver.c sees the GPU at 02:00.0 first, then the one at 01:00.0.
LISTED = [(SLOW, "00000000:01:00.0", "GPU-1111aaaa-1"), (FAST, "00000000:02:00.0", "GPU-1111bbbb-2")]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def install_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int = 6) -> None:
    """An `nvidia-smi` that lists the slower GPU first, with as many columns."""
    rows = [(gpu.name, gpu.driver, gpu.memory, gpu.compute_capability, bus, uuid) for gpu, bus, uuid in LISTED]
    lines = "\n".join(f"echo '{', '.join(row[:columns])}'" for row in rows)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(("status", "count", "expected"), [(0, 2, (FAST, SLOW)), (0, 1, (FAST,)), (100, 0, ())])
def test_cuda_says_what_it_sees(
    status: int, count: int, expected: tuple[Gpu, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest first, and what `CUDA_VISIBLE_DEVICES` leaves, or nothing."""
    install_smi(tmp_path, monkeypatch)
    compile_driver(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("DRIVER_STATUS", str(status))
    monkeypatch.setenv("DRIVER_GPUS", str(count))
    assert nvidia_gpus() == expected


@pytest.mark.parametrize("columns", [4, 6])
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (FAST, SLOW)),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, (SLOW, FAST)),
        ({"CUDA_VISIBLE_DEVICES": "0"}, (SLOW,)),
        ({"CUDA_VISIBLE_DEVICES": "1,0"}, (FAST, SLOW)),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, (FAST,)),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1111bbbb"}, (FAST,)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1111aaaa-1, GPU-1111bbbb-2"}, (SLOW, FAST)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1111"}, ()),  # not unique
    ],
)
def test_without_the_drivers_library_the_documentation_says_it(
    columns: int,
    environment: dict[str, str],
    expected: tuple[Gpu, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if columns == 4 and "GPU-" in environment.get("CUDA_VISIBLE_DEVICES", ""):
        expected = ()
    install_smi(tmp_path, monkeypatch, columns)
    (tmp_path / "libcuda.so.1").write_text("no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert nvidia_gpus() == expected


def test_without_nvidia_smi_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_gpus() == ()
